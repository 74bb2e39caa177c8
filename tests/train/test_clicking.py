"""Scores of clicks: means over regions, empty answers, padding, and regions decoded together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sensam.data.clicks import RegionRule
from sensam.errors import SettingsError
from sensam.methods.base import Moment, Task
from sensam.methods.scratch import Scratch
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.sam.framing import Embedded, Fit, Frame, embed
from sensam.sam.model import Sam
from sensam.sensors import load_sensor
from sensam.train.clicking import ClickJudge, answer_clicks, iou, score_regions
from sensam.types import Batch, Prompts
from tests.sam.conftest import TINY, fill

RULE = RegionRule()


class Knowing(Sam):
    """Answers a click with what it was told about the label there; counts how often it looks and answers."""

    def __init__(self, label_HW: np.ndarray, answers: dict[int, np.ndarray]) -> None:  # type: ignore[type-arg]
        super().__init__(replace(TINY, patch=4, image_size=16))
        self.label_HW, self.answers, self.looks, self.asked = label_HW, answers, 0, []  # type: ignore[var-annotated]

    def encode(self, image_BCHW: Tensor) -> Tensor:
        self.looks += 1
        return super().encode(image_BCHW)

    def decode(self, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        assert not multimask
        assert prompts.points_NP2 is not None
        self.asked.append(len(prompts))
        values = [int(self.label_HW[int(y), int(x)]) for x, y in prompts.points_NP2[:, 0].tolist()]
        masks = np.stack([self.answers[value] for value in values])
        return torch.from_numpy(masks).float()[:, None] * 2 - 1, torch.ones(len(masks), 1)


def plain(sam: Sam, side: tuple[int, int], bands: int = 3) -> Embedded:
    with torch.no_grad():
        return Embedded(sam.encode(torch.zeros(1, bands, *side)), Frame(side, side, side))


def test_one_large_and_three_small_regions_count_the_same() -> None:
    label = np.zeros((16, 16), int)
    label[:8], label[10, 0:4], label[12, 0:4], label[14, 0:4] = 1, 2, 3, 4
    answers = {value: label == value for value in (1, 2, 3)} | {4: label == 3}
    sam = Knowing(label, answers)
    scores = score_regions(sam, plain(sam, (16, 16)), label, RULE)
    assert scores.areas_N.tolist() == [128, 4, 4, 4]
    assert scores.iou_N == pytest.approx([1, 1, 1, 0], abs=1e-6)
    assert scores.decoder_iou_N.mean() == pytest.approx(0.75, abs=1e-6)  # patch 4: the decoder has every pixel
    assert sam.asked == [4]
    assert sam.looks == 1


def test_nothing_in_nothing_is_right_and_unknown_pixels_do_not_count() -> None:
    empty = np.zeros((4, 4), bool)
    assert iou(empty, empty) == 1
    assert iou(~empty, empty) == pytest.approx(0, abs=1e-6)
    label = np.zeros((16, 16), int)
    label[:4, :4], label[:, 8:] = 1, 255
    sam = Knowing(label, {1: (label == 1) | (label == 255)})
    assert score_regions(sam, plain(sam, (16, 16)), label, RULE).iou_N == pytest.approx([1.0])


@pytest.mark.parametrize("found", [False, True])
def test_a_region_that_vanishes_at_the_decoders_resolution(found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find nothing is then right there, and wrong at the image's own pixels."""
    label = np.zeros((64, 64), int)
    label[5, 7] = 1
    answer = torch.full((1, 1, 16, 16), 1.0 if found else -1.0), torch.ones(1, 1)
    monkeypatch.setattr(Sam, "decode", lambda *_, **__: answer)
    sam = Sam(TINY).eval()
    scores = score_regions(sam, plain(sam, (64, 64)), label, RULE)
    assert scores.decoder_iou_N == pytest.approx([0 if found else 1], abs=1e-4)
    assert scores.iou_N == pytest.approx([1 / 64**2 if found else 0], abs=1e-5)


def test_regions_decoded_together_or_one_by_one() -> None:
    sam = Sam(TINY)
    fill(sam, 0)
    embedded = plain(sam.eval(), (64, 48))
    xy = np.random.default_rng(0).integers(0, 48, (70, 2, 2))  # more than go at once
    signs = np.tile([1, 0], (70, 1))
    together = answer_clicks(sam, embedded, xy, signs)
    alone = torch.cat([answer_clicks(sam, embedded, xy[[n]], signs[[n]]) for n in range(70)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("size", [(40, 64), (64, 64), (100, 48)])
def test_clicks_and_masks_follow_the_frame(size: tuple[int, int]) -> None:
    label = np.zeros(size, int)
    label[size[0] // 4 : size[0] * 3 // 4, size[1] // 4 : size[1] * 3 // 4] = 1
    sam, fit = Knowing(label, {}), Fit(longest_side=16)
    frame = fit.frame(size, 16)
    rows, columns = (
        (2 * np.arange(side) + 1) * whole // (2 * side) for side, whole in zip(frame.scaled, size, strict=True)
    )
    sam.label_HW = np.zeros((16, 16), int)
    sam.label_HW[: frame.scaled[0], : frame.scaled[1]] = label[np.ix_(rows, columns)]
    sam.answers = {1: sam.label_HW == 1}
    scores = score_regions(sam, embed(sam, torch.zeros(3, *size), fit), label, RULE)
    assert scores.iou_N[0] > 0.6  # a rectangle of 16 x 8 pixels, enlarged
    assert scores.decoder_iou_N[0] > 0.7


def batch_of(label: np.ndarray) -> Batch:  # type: ignore[type-arg]
    image = torch.randn(len(label), 3, *label.shape[1:], generator=torch.Generator().manual_seed(0))
    tensor = torch.from_numpy(label)
    return Batch(image, tensor != 255, tensor, tuple(map(str, range(len(label)))))


def test_a_judge_adds_up_over_batches_and_counts_images_without_regions() -> None:
    sam = Sam(TINY)
    fill(sam, 0)
    task = Task(load_sensor("rgb").with_statistics((0,) * 3, (1,) * 3), ("a", "b"), sam, size=64)
    method = SimMat(task, SimMatConfig(amount=2)).eval()
    label = np.random.default_rng(0).integers(0, 4, (3, 8, 8)).repeat(8, 1).repeat(8, 2)
    label[1] = 0
    judge, moment = ClickJudge(), Moment(0, 0, 0, range(3))
    whole = batch_of(label)
    parts = [
        Batch(whole.image_BCHW[n : n + 1], whole.valid_BHW[n : n + 1], whole.label_BHW[n : n + 1], (str(n),))  # type: ignore[index]
        for n in range(3)
    ]
    total = judge.measure(method, whole, moment)
    added = sum(judge.measure(method, part, moment) for part in parts)
    report = judge.report(total)
    assert judge.report(added) == pytest.approx(report, abs=1e-4)  # type: ignore[arg-type]
    assert torch.equal(total, judge.measure(method, whole, moment))
    assert report["regions"] == 6
    assert report["images_without_regions"] == 1
    assert judge.decides in report
    assert np.isnan(judge.report(total * 0)["click_iou"])


def test_a_method_without_clicks_cannot_be_judged_by_them() -> None:
    sam = Sam(TINY)
    method = Scratch(Task(load_sensor("rgb"), ("a", "b"), sam, size=64), Scratch.Config())
    with pytest.raises(SettingsError, match="Scratch cannot be judged by clicks"):
        ClickJudge().measure(method, batch_of(np.zeros((1, 64, 64), np.int64)), Moment(0, 0, 0, range(1)))
