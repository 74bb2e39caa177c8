"""The loss of clicks against its closed form, and finite for any target."""

import numpy as np
import pytest
import torch

from sensam.nn.dice_ce import dice_ce


def test_the_closed_form_sample_by_sample() -> None:
    random = np.random.default_rng(0)
    logits, target = random.normal(size=(3, 5, 4)), random.random((3, 5, 4)) > 0.6
    p = 1 / (1 + np.exp(-logits))
    each = [1 - (2 * (p[i] * target[i]).sum() + 1e-5) / ((p[i] ** 2).sum() + target[i].sum() + 1e-5) for i in range(3)]
    cross = -np.where(target, np.log(p), np.log(1 - p)).mean()
    known = torch.ones(3, 5, 4, dtype=torch.bool)
    found = dice_ce(torch.from_numpy(logits), torch.from_numpy(target), known)
    assert [part.item() for part in found] == pytest.approx([np.mean(each), cross], abs=1e-6)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_finite_for_empty_and_full_targets_and_certain_answers(value: int, logit: float) -> None:
    logits = torch.full((2, 4, 4), logit, requires_grad=True)
    dice, cross = dice_ce(logits, torch.full((2, 4, 4), value), torch.ones(2, 4, 4, dtype=torch.bool))
    (dice + cross).backward()
    assert torch.isfinite(torch.stack([dice, cross])).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_unknown_pixels_and_masks_count_for_nothing() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 4, 4, requires_grad=True), torch.rand(2, 4, 4) > 0.5
    known = torch.ones(2, 4, 4, dtype=torch.bool)
    known[0, :, 2:], known[1] = False, False
    found = dice_ce(logits, target, known)
    alone = dice_ce(logits[:1, :, :2], target[:1, :, :2], known[:1, :, :2])
    assert torch.allclose(torch.stack(found), torch.stack(alone))
    sum(found).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert not logits.grad[~known].any()
    assert [part.item() for part in dice_ce(logits, target, known & False)] == [0, 0]
