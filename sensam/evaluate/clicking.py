"""What clicks find in a split: scores by area and by image, and how quality grows with corrective clicks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label as connect

from sensam.data.clicks import RegionRule, find_regions, scoring_clicks
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.loader import Loader
from sensam.data.stream import Stream
from sensam.errors import InputError, SettingsError
from sensam.evaluate.answers import shown
from sensam.evaluate.masks import innermost
from sensam.run import Model, fit_dataset, load
from sensam.sam.framing import Embedded, Fit, embed
from sensam.sam.model import Sam
from sensam.train.clicking import AsksRegions, ClickScores, answer_clicks, iou, native_masks, score_regions

AREAS = (0.001, 0.01, 0.1)  # shares of an image that part small regions from large ones
GOALS = (0.8, 0.9)
AS_IT_IS = Fit(resize=False, square=False)

Encoded = tuple[Embedded, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class ClickReport:
    """One fixed click in every region of a split, whatever its class."""

    images: tuple[ClickScores, ...]  # also those without regions
    shares_N: NDArray[np.float64]  # area of each region over its image's, in the order of the images

    @property
    def iou(self) -> float:
        """Mean over all regions, at the image's own resolution."""
        return _mean(np.concatenate([image.iou_N for image in self.images]))

    @property
    def decoder_iou(self) -> float:
        """Mean over all regions at the decoder's resolution: the score that is published for SimMAT."""
        return _mean(np.concatenate([image.decoder_iou_N for image in self.images]))

    @property
    def iou_by_image(self) -> float:
        """Mean over images of the mean over their regions."""
        return _mean(np.array([image.iou_N.mean() for image in self.images if len(image)]))

    @property
    def by_area(self) -> dict[str, tuple[float, int]]:
        """Mean IoU and number of regions, from small to large."""
        iou_N = np.concatenate([image.iou_N for image in self.images])
        bins_N = np.digitize(self.shares_N, AREAS)
        edges = [0.0, *AREAS, 1.0]
        names = [f"{100 * low:g}-{100 * high:g} %" for low, high in pairwise(edges)]
        return {name: (_mean(iou_N[bins_N == place]), int((bins_N == place).sum())) for place, name in enumerate(names)}

    @property
    def skipped(self) -> int:
        """Images without a region."""
        return sum(not len(image) for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; None stands for the mean of nothing."""
        scores = {"iou": self.iou, "iou_by_image": self.iou_by_image, "decoder_iou": self.decoder_iou}
        return {
            **{name: _plain(value) for name, value in scores.items()},
            "regions": len(self.shares_N),
            "images": len(self.images),
            "images_without_regions": self.skipped,
            "by_area": {name: {"iou": _plain(mean), "regions": n} for name, (mean, n) in self.by_area.items()},
        }


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """After so many clicks: mean IoU, and the share of regions that reached each goal by then."""

    clicks: int
    iou: float
    reached: tuple[float, ...]


def score_clicks(
    model: Model | str | Path,
    data: Dataset | str | Path,
    *,
    split: str = "test",
    curve: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Every score of a trained model's clicks on a split by its name, and with `curve` the mean IoU click by click.

    A model that was trained on stretched images sees stretched images; masks are compared at the labels' own size.
    """
    model = load(model, device=device) if isinstance(model, str | Path) else model.to(device)
    dataset = fit_dataset(open_dataset(data) if isinstance(data, str | Path) else data, model.sensor)
    sam = model.method.promptable()
    if sam is None:
        raise SettingsError(f"A model of {model.segmenter.name} answers no clicks. Score its class maps instead.")
    rule = model.method.rule if isinstance(model.method, AsksRegions) else RegionRule(ignore=dataset.ignore)
    stream, originals = shown(model, dataset, split)
    report = evaluate_clicks(sam, stream, rule, originals=originals)
    scores = {
        "click_iou": report.iou,
        "click_iou_by_image": report.iou_by_image,
        "click_iou_decoder": report.decoder_iou,
    }
    scores |= {f"click_iou, {name} of the image": mean for name, (mean, count) in report.by_area.items() if count}
    scores |= {"regions": float(len(report.shares_N)), "images_without_regions": float(report.skipped)}
    for point in click_curve(sam, stream, rule, clicks=curve, originals=originals) if curve else ():
        scores[f"iou after {point.clicks} clicks"] = point.iou
        scores |= {f"above {goal} after {point.clicks}": part for goal, part in zip(GOALS, point.reached, strict=True)}
    return scores


def evaluate_clicks(
    sam: Sam, stream: Stream, rule: RegionRule, *, fit: Fit = AS_IT_IS, originals: Stream | None = None
) -> ClickReport:
    """Score every image of a stream. `fit` brings images to the encoder's size, and masks back to their own.

    `originals` are the labels as they are on disk, where the stream's own are stretched with their images.
    """
    images, shares = [], [np.zeros(0)]
    for embedded, label_HW in _encoded(sam, stream, fit, originals):
        scores = score_regions(sam, embedded, label_HW, rule)
        images.append(scores)
        shares.append(scores.areas_N / label_HW.size)
    return ClickReport(tuple(images), np.concatenate(shares))


def click_curve(
    sam: Sam,
    stream: Stream,
    rule: RegionRule,
    *,
    clicks: int = 8,
    fit: Fit = AS_IT_IS,
    originals: Stream | None = None,
) -> tuple[CurvePoint, ...]:
    """Quality after 1, 2, ... clicks of somebody who always mends the largest error, in its middle."""
    parts = [
        quality
        for embedded, label_HW in _encoded(sam, stream, fit, originals)
        if (quality := _correct(sam, embedded, label_HW, rule, clicks)).size
    ]
    if not parts:
        raise InputError("No image of this split has a region to click. Check the classes, or lower `smallest`.")
    iou_NK = np.concatenate(parts)
    best_NK = np.maximum.accumulate(iou_NK, 1)
    return tuple(
        CurvePoint(k + 1, float(iou_NK[:, k].mean()), tuple(float((best_NK[:, k] >= goal).mean()) for goal in GOALS))
        for k in range(clicks)
    )


def _encoded(sam: Sam, stream: Stream, fit: Fit, originals: Stream | None) -> Iterator[Encoded]:
    """Images of a stream, one at a time, with their labels."""
    sam.eval()
    device = sam.shared_image_embedding.positional_embedding.device
    unstretched = None if originals is None else iter(Loader(originals, batch_size=1))
    for batch in Loader(stream, batch_size=1, device=device):
        label_BHW = batch.label_BHW if unstretched is None else next(unstretched).label_BHW
        if label_BHW is None:
            raise InputError("Clicks are scored against labels, and this split has none.")
        label_HW, embedded = label_BHW[0].cpu().numpy(), embed(sam, batch.image_BCHW[0], fit)
        if unstretched is not None:
            rows, columns = label_HW.shape
            embedded = replace(embedded, frame=replace(embedded.frame, native=(rows, columns)))
        yield embedded, label_HW


@torch.no_grad()
def _correct(sam: Sam, embedded: Embedded, label_HW: NDArray[Any], rule: RegionRule, clicks: int) -> NDArray[Any]:
    """IoU of every region (rows) after every click (columns); all regions get their next click together."""
    regions = find_regions(label_HW, rule)
    known_HW = label_HW != rule.ignore
    points = [[(click.x, click.y)] for click in scoring_clicks(regions)]
    signs = [[1] for _ in points]
    iou_NK = np.zeros((len(points), clicks))
    for k in range(clicks if points else 0):
        logits_N1hw = answer_clicks(sam, embedded, np.array(points), np.array(signs))
        for number, found_HW in enumerate(native_masks(sam, embedded, logits_N1hw)):
            truth_HW = regions.mask(number + 1)
            iou_NK[number, k] = iou(found_HW & known_HW, truth_HW)
            x, y, sign = _next_click(found_HW & known_HW, truth_HW, points[number][0])
            points[number].append((x, y))
            signs[number].append(sign)
    return iou_NK


def _next_click(found_HW: NDArray[Any], truth_HW: NDArray[Any], first: tuple[int, int]) -> tuple[int, int, int]:
    """The innermost pixel of the largest piece that is wrong, and whether it belongs inside."""
    pieces_HW, count = connect(found_HW != truth_HW)
    if not count:
        return *first, 1  # nothing to mend: the first click again
    largest = int(np.bincount(pieces_HW.ravel())[1:].argmax()) + 1
    x, y = innermost(pieces_HW == largest)
    return x, y, int(truth_HW[y, x])


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
