"""A split under clicks: by area, by image, and the curve of somebody who mends the largest error."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sensam.data.clicks import RegionRule, find_regions, scoring_clicks
from sensam.data.dataset import open_dataset
from sensam.data.sample import Sample
from sensam.data.synthetic import family, write
from sensam.errors import InputError, SettingsError
from sensam.evaluate.clicking import click_curve, evaluate_clicks, score_clicks
from sensam.evaluate.compare.measure import measure_clicks
from sensam.methods.base import Task
from sensam.run import build_method
from sensam.run.model import as_model, describe_model
from sensam.sam.model import Sam
from sensam.types import Prompts
from tests.sam.conftest import TINY, fill

RULE = RegionRule()


class Few:
    """A stream of label maps with pixels that show them."""

    epoch, ignore = 0, 255

    def __init__(self, *labels: np.ndarray) -> None:  # type: ignore[type-arg]
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        index = place[1] if isinstance(place, tuple) else place
        label = self.labels[index]
        ones, infinite = np.ones(3, np.float32), np.full(3, np.inf, np.float32)
        pixels = np.stack([label * 0.5] * 3).astype(np.float32)
        return Sample(str(index), pixels, None, label, ones, ones * 0, -infinite, infinite)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


@pytest.fixture
def sam() -> Sam:
    sam = Sam(TINY)
    fill(sam, 0)
    return sam.eval()


def squares() -> np.ndarray:  # type: ignore[type-arg]
    label = np.zeros((64, 64), np.int64)
    label[2:4, 2:4], label[10:15, 10:15], label[30:62, 8:60] = 1, 2, 3
    return label


def test_regions_by_area_and_by_image(sam: Sam) -> None:
    single = np.zeros((64, 64), np.int64)
    single[20:40, 20:40] = 7
    report = evaluate_clicks(sam, Few(squares(), single, single * 0), RULE)
    assert report.skipped == 1
    assert [count for _, count in report.by_area.values()] == [1, 1, 1, 1]
    means = [mean for mean, _ in report.by_area.values()]
    assert report.iou == pytest.approx(np.mean(means))
    three = np.mean([means[0], means[1], means[3]])
    assert report.iou_by_image == pytest.approx((three + means[2]) / 2)
    assert report.to_dict()["regions"] == 4
    again = evaluate_clicks(sam, Few(squares(), single, single * 0), RULE)
    assert again.to_dict() == report.to_dict()  # deterministic, to the last digit
    nothing = evaluate_clicks(sam, Few(single * 0), RULE)
    assert nothing.to_dict()["iou"] is None


class Obedient(Sam):
    """Finds a disc of ten pixels around every click inside, less those around clicks outside."""

    def decode(self, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        assert prompts.points_NP2 is not None
        assert prompts.labels_NP is not None
        y, x = torch.meshgrid(torch.arange(16) * 4 + 1.5, torch.arange(16) * 4 + 1.5, indexing="ij")
        found = []
        for points, signs in zip(prompts.points_NP2, prompts.labels_NP, strict=True):
            near = [(x - px) ** 2 + (y - py) ** 2 < 100 for px, py in points.tolist()]
            inside = torch.stack([disc for disc, sign in zip(near, signs, strict=True) if sign]).any(0)
            outside = [disc for disc, sign in zip(near, signs, strict=True) if not sign]
            found.append(inside & ~torch.stack(outside).any(0) if outside else inside)
        return torch.stack(found).float()[:, None] * 2 - 1, torch.ones(len(found), 1)


def test_corrective_clicks_go_where_most_is_wrong() -> None:
    label = np.zeros((64, 64), np.int64)
    label[20:44, 4:60] = 1
    curve = click_curve(Obedient(TINY).eval(), Few(label), RULE, clicks=4)
    assert [point.clicks for point in curve] == [1, 2, 3, 4]
    quality = [point.iou for point in curve]
    assert quality[0] < 0.4
    assert quality[2] > quality[0] + 0.3
    reached = [point.reached[0] for point in curve]
    assert reached == sorted(reached)


def test_a_perfect_answer_stays_perfect(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    label = squares()
    monkeypatch.setattr("sensam.evaluate.clicking.native_masks", lambda *_: iter(label == n for n in (1, 2, 3)))
    curve = click_curve(sam, Few(label), RULE, clicks=3)
    assert [(point.iou, point.reached) for point in curve] == [(1.0, (1.0, 1.0))] * 3


def test_a_split_without_regions_has_no_curve(sam: Sam) -> None:
    with pytest.raises(InputError, match="No image of this split has a region"):
        click_curve(sam, Few(np.zeros((64, 64), np.int64)), RULE)


def test_stretched_images_are_scored_at_the_size_of_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretched image and its stretched label say nothing of a label's own pixels: these come beside them."""
    label = np.zeros((96, 32), np.int64)
    label[40:72, 4:24] = 1
    rows, columns = (np.arange(64) * 1.5).astype(int), (np.arange(64) / 2).astype(int)
    seen = label[np.ix_(rows, columns)]
    asked: list[list[float]] = []

    def knows(self: Sam, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:  # noqa: ARG001
        assert prompts.points_NP2 is not None
        asked.append(prompts.points_NP2[0, 0].tolist())
        return torch.from_numpy(seen[None, None, 2::4, 2::4]).float() * 2 - 1, torch.ones(1, 1)

    monkeypatch.setattr(Sam, "decode", knows)
    sam = Sam(TINY).eval()
    report = evaluate_clicks(sam, Few(seen), RULE, originals=Few(label))
    (scores,) = report.images
    assert scores.areas_N.tolist() == [32 * 20]
    assert scores.decoder_iou_N[0] == pytest.approx(1)
    assert scores.iou_N[0] > 0.8  # to the pixels between two of the decoder's
    (click,) = scoring_clicks(find_regions(label, RULE))
    assert asked == [[click.x * 2, pytest.approx(click.y / 1.5)]]
    (point,) = click_curve(sam, Few(seen), RULE, clicks=1, originals=Few(label))
    assert point.iou == report.iou


@pytest.mark.parametrize("judge", [score_clicks, measure_clicks], ids=["evaluate", "compare"])
def test_a_model_that_learnt_from_stretched_images_is_shown_such(
    sam: Sam, tmp_path: Path, judge: Callable[..., object]
) -> None:
    write(family("modality:thermal"), tmp_path, seed=0, counts={"train": 1, "test": 1}, size=(96, 48))
    dataset = open_dataset(tmp_path / "dataset.yaml")
    task = Task(dataset.sensor, dataset.classes, sam, size=64)
    method = build_method("simmat", task, {"amount": 2, "protocol": "paper"}).eval()
    config = describe_model(method, "simmat", colours=dataset.colours, stages=())
    shapes: list[torch.Size] = []
    handle = method.sam.vision_encoder.register_forward_pre_hook(lambda _, given: shapes.append(given[0].shape))
    for fit in ("stretch", "crop"):
        judge(as_model(method, {**config, "fit": fit}), dataset, split="test")
    handle.remove()
    assert [tuple(shape[2:]) for shape in shapes] == [(64, 64), (64, 48), (32, 48)]


def test_every_score_of_a_model_by_its_name(sam: Sam, tmp_path: Path) -> None:
    write(family("modality:thermal"), tmp_path, seed=0, counts={"train": 1, "test": 2}, size=(64, 64))
    dataset = open_dataset(tmp_path / "dataset.yaml")
    task = Task(dataset.sensor, dataset.classes, sam, size=64)
    method = build_method("simmat", task, {"amount": 2, "regions": "connected"}).eval()
    model = as_model(method, describe_model(method, "simmat", colours=dataset.colours, stages=()))
    scores = score_clicks(model, dataset, split="test", curve=2)
    assert scores["regions"] >= 4
    assert scores["iou after 1 clicks"] == pytest.approx(scores["click_iou"])
    assert {"iou after 2 clicks", "above 0.8 after 2", "click_iou_decoder", "click_iou_by_image"} <= scores.keys()
    assert all(np.isfinite(value) for value in scores.values())
    scratch = build_method("scratch", task)
    maps = as_model(scratch, describe_model(scratch, "scratch", colours=dataset.colours, stages=()))
    with pytest.raises(SettingsError, match="answers no clicks"):
        score_clicks(maps, dataset)
