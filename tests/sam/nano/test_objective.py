"""The objective: perfect answers cost nothing, groups attract, second clicks fall where the first answer is wrong."""

import pytest
import torch

from sensam.sam.model import build_sam
from sensam.sam.nano.lessons import Lessons, first_term
from sensam.sam.nano.objective import _correct, ask_and_grade, grade, grouping_loss
from sensam.types import Prompts


def halves(n: int = 2, side: int = 16) -> torch.Tensor:
    target = torch.zeros(n, side, side)
    target[:, :, : side // 2] = 1
    return target


def test_a_perfect_and_honest_answer_costs_nothing() -> None:
    target = halves()
    perfect = (target * 2 - 1)[:, None] * 30
    loss, iou = grade(perfect, torch.ones(2, 1), target)
    assert loss < 1e-3
    assert iou == 1


def test_only_the_best_of_three_masks_is_graded() -> None:
    target = halves()
    perfect, wrong = (target * 2 - 1)[:, None] * 30, (1 - target * 2)[:, None] * 30
    logits = torch.cat([wrong, perfect, wrong], 1).requires_grad_()
    loss, iou = grade(logits, torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1), target)
    assert loss < 1e-3
    assert iou == 1
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, [0, 2]].abs().max() == 0


def test_a_vain_guess_of_quality_costs_its_square() -> None:
    target = halves()
    perfect = (target * 2 - 1)[:, None] * 30
    loss, _ = grade(perfect, torch.full((2, 1), 0.5), target)
    torch.testing.assert_close(loss, torch.tensor(0.25), atol=1e-3, rtol=0)


def test_grouping_rewards_one_direction_per_part() -> None:
    part = torch.zeros(1, 32, 32, dtype=torch.int16)
    part[:, :, 16:] = 1
    tokens = torch.zeros(1, 2, 4, 4)
    tokens[:, 0, :, :2] = 1
    tokens[:, 1, :, 2:] = 1
    together = grouping_loss(tokens, part, 8)
    mixed = grouping_loss(torch.ones(1, 2, 4, 4), part, 8)
    torch.testing.assert_close(together, torch.tensor(2 * 0.0067), atol=1e-4, rtol=0)  # 2 log(1 + e^-5)
    assert mixed > 5


def test_grouping_leaves_tokens_on_an_edge_out() -> None:
    part = torch.zeros(1, 16, 16, dtype=torch.int16)
    part[:, :, 12:] = 1  # the right-hand tokens hold both parts
    tokens = torch.randn(1, 4, 2, 2, requires_grad=True)
    grouping_loss(tokens, part, 8).backward()
    assert tokens.grad is not None
    assert tokens.grad[..., 1].abs().max() == 0
    assert tokens.grad[..., 0].abs().max() > 0


def test_the_second_click_falls_on_an_error_and_says_what_is_right() -> None:
    sam = build_sam("nano")
    target = halves(8)
    answer = torch.ones(8, 16, 16)  # everything: the right half is wrong
    first = Prompts(points_NP2=torch.zeros(8, 1, 2), labels_NP=torch.ones(8, 1))
    second = _correct(sam, first, answer, target, torch.Generator().manual_seed(0))
    assert second.points_NP2 is not None
    assert second.labels_NP is not None
    assert (second.points_NP2[:, 1, 0] >= 16).all()
    assert (second.labels_NP[:, 1] == 0).all()


@pytest.mark.slow
def test_every_kind_of_question_reaches_every_part_of_sam() -> None:
    torch.manual_seed(0)
    sam = build_sam("nano")
    lesson = Lessons(seed=0, batch=1, courses=first_term(1, 1), steps=1)[0]
    kinds = set()
    for seed in range(6):
        loss, grades = ask_and_grade(sam, lesson, seed)
        loss.backward()
        assert {"click_iou", "box_iou"} < set(grades), "every step asks by click and by box"
        kinds |= set(grades)
    assert kinds == {"loss", "grouping", "click_iou", "box_iou", "single_iou", "corrected_iou"}
    untouched = [name for name, p in sam.named_parameters() if p.requires_grad and p.grad is None]
    assert untouched == ["prompt_encoder.point_embed.0.weight"] or untouched == []
