"""Masks of everything: a grid of clicks, filters on quality and stability, no duplicates, crops for small things."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.errors import InputError, SettingsError
from sensam.sam.framing import Embedded, Fit, embed
from sensam.sam.model import Sam
from sensam.sam.regions import (
    Regions,
    bounding_box,
    encode_runs,
    join_regions,
    no_regions,
    without_duplicates,
    without_speckle,
)
from sensam.types import Prompts


@dataclass(frozen=True, slots=True)
class AutomaticSettings:
    """What to look for and what to keep. The defaults are SAM's."""

    points_per_side: int = 32
    points_per_batch: int = 64
    min_iou: float = 0.88  # the IoU SAM expects of its mask
    min_stability: float = 0.95
    stability_offset: float = 1.0  # how far the stricter and the laxer threshold lie from 0, in logits
    max_overlap: float = 0.7  # IoU of two boxes above which the one with the lower score goes
    min_area: int = 1  # pixels of a mask
    min_region: int = 0  # pixels of a hole or an island in a mask; smaller ones are closed and dropped
    crop_layers: int = 0  # layer i looks again at (2^i)^2 crops
    crop_overlap: float = 512 / 1500  # of the image's shorter side, in layer 1; half of it in layer 2, ...
    crop_margin: int = 20  # masks that end this near an inner edge of a crop were cut off, and go
    crop_thinning: int = 1  # layer i has points_per_side / thinning^i points on a side

    def __post_init__(self) -> None:
        lows = {"points_per_side": 1, "points_per_batch": 1, "min_area": 1, "crop_thinning": 1}
        for name in ("min_region", "crop_layers", "crop_margin", "stability_offset"):
            lows[name] = 0
        for name, low in lows.items():
            if name != "stability_offset" and not isinstance(getattr(self, name), Integral):
                raise SettingsError(f"{name} must be a whole number, found {getattr(self, name)}.")
            if getattr(self, name) < low:
                raise SettingsError(f"{name} must be at least {low}, found {getattr(self, name)}.")
        for name in ("min_iou", "min_stability", "max_overlap", "crop_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} must lie between 0 and 1, found {getattr(self, name)}.")


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of the image (x1 and y1 exclusive) and the number of points on each side of its grid."""

    x0: int
    y0: int
    x1: int
    y1: int
    points_per_side: int


@torch.no_grad()
def generate(
    sam: Sam,
    image_CHW: Tensor,
    settings: AutomaticSettings | None = None,
    *,
    valid_HW: NDArray[np.bool_] | None = None,
    fit: Fit | None = None,
) -> Regions:
    """Masks of everything in one image: an 8-bit RGB photograph, or any bands normalised.

    Where `valid_HW` is False nobody clicks and no mask reaches.
    """
    settings, fit = settings or AutomaticSettings(), fit or Fit()
    size = (image_CHW.shape[-2], image_CHW.shape[-1])
    valid = np.ones(size, np.bool_) if valid_HW is None else valid_HW
    if valid.shape != size:
        raise InputError(f"The image has {size} rows and columns, valid_HW {valid.shape}.")
    found = [no_regions(size)]
    for crop in plan_crops(size, settings):
        found.extend(_search(sam, image_CHW, valid, crop, settings, fit))
    regions = without_duplicates(join_regions(found), settings.max_overlap)
    if settings.min_region:
        regions = without_speckle(regions, settings.min_region, settings.max_overlap, valid)
        regions = regions.take(np.flatnonzero(regions.areas_N >= settings.min_area))
    return regions


def plan_crops(size: tuple[int, int], settings: AutomaticSettings) -> list[Crop]:
    """The whole image, then layer by layer ever smaller overlapping windows, placed as SAM places them."""
    height, width = size
    crops = [Crop(0, 0, width, height, settings.points_per_side)]
    for layer in range(1, settings.crop_layers + 1):
        side = 2**layer
        overlap = int(settings.crop_overlap * min(size) * 2 / side)
        w, h = (math.ceil((overlap * (side - 1) + length) / side) for length in (width, height))
        points = max(1, settings.points_per_side // settings.crop_thinning**layer)
        corners = product((i * (w - overlap) for i in range(side)), (i * (h - overlap) for i in range(side)))
        inside = ((x, y) for x, y in corners if x < width and y < height)  # an image may have fewer pixels than crops
        crops += [Crop(x, y, min(x + w, width), min(y + h, height), points) for x, y in inside]
    return crops


def _search(
    sam: Sam, image_CHW: Tensor, valid_HW: NDArray[np.bool_], crop: Crop, settings: AutomaticSettings, fit: Fit
) -> Iterator[Regions]:
    """Masks found from one crop, before duplicates are removed."""
    window = (slice(crop.y0, crop.y1), slice(crop.x0, crop.x1))
    valid = valid_HW[window]
    points_N2 = _grid(crop)
    column, row = points_N2.astype(np.int64).T
    points_N2 = points_N2[valid[row, column]]
    if not len(points_N2):
        return
    embedded = embed(sam, image_CHW[..., *window], fit)
    blank = None if valid.all() else torch.from_numpy(~valid).to(embedded.embedding_1Ehw.device)
    for start in range(0, len(points_N2), settings.points_per_batch):
        batch_N2 = points_N2[start : start + settings.points_per_batch]
        for logits_NHW, scores_N, clicks_N2 in _click(sam, embedded, batch_N2, settings.min_iou):
            if blank is not None:
                logits_NHW.masked_fill_(blank, -math.inf)
            yield _keep(logits_NHW, scores_N, clicks_N2, crop, valid_HW.shape, settings)


def _grid(crop: Crop) -> NDArray[np.float32]:
    """Clicks in the middle of equal cells, row by row, in pixels of the crop."""
    middle = (np.arange(crop.points_per_side) + 0.5) / crop.points_per_side
    x, y = np.meshgrid(middle * (crop.x1 - crop.x0), middle * (crop.y1 - crop.y0))
    return np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)


def _click(
    sam: Sam, embedded: Embedded, points_N2: NDArray[np.float32], min_iou: float
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Logits at native resolution, scores and clicks of the masks SAM expects to be good, a few at a time.

    The others are never enlarged, which on an image of 1500 x 2000 pixels costs as much as finding them.
    """
    clicks_N2 = torch.from_numpy(points_N2)
    placed_N12 = embedded.frame.place(clicks_N2)[:, None].to(embedded.embedding_1Ehw.device)
    inside_N1 = torch.ones(placed_N12.shape[:2], dtype=torch.int64, device=placed_N12.device)
    logits_NMhw, scores_NM = sam.decode(embedded.embedding_1Ehw, Prompts(placed_N12, inside_N1))
    prompt, mask = torch.nonzero(scores_NM >= min_iou, as_tuple=True)
    if not len(prompt):
        return
    frame = embedded.frame
    for n, m in zip(prompt.split(frame.at_once), mask.split(frame.at_once), strict=True):
        yield frame.restore(sam, logits_NMhw[n, m][:, None])[:, 0], scores_NM[n, m].float(), clicks_N2[n.cpu()]


def stability(logits_NHW: Tensor, offset: float) -> Tensor:
    """IoU of each mask at a stricter and a laxer threshold; NaN where even the laxer one finds nothing."""
    return _areas(logits_NHW, offset) / _areas(logits_NHW, -offset)


def _areas(logits_NHW: Tensor, threshold: float) -> Tensor:
    """Pixels above a threshold. One mask at a time: on a CPU ten times as fast as a sum over all."""
    return torch.stack([(logits > threshold).count_nonzero() for logits in logits_NHW])


def _keep(
    logits_NHW: Tensor,
    scores_N: Tensor,
    clicks_N2: Tensor,
    crop: Crop,
    size: tuple[int, int],
    settings: AutomaticSettings,
) -> Regions:
    """The stable masks of a crop, large enough and not cut off by it, as regions of the whole image.

    Stability is counted at native resolution, as in SAM. Among the decoder's own logits it comes out 0.005 different
    on average (nano, generated scenes), and masks near the threshold would be decided otherwise.
    """
    stability_N = stability(logits_NHW, settings.stability_offset)
    stable = torch.nonzero(stability_N >= settings.min_stability)[:, 0]
    masks_NHW = (logits_NHW[stable] > 0).cpu().numpy()
    corner = np.array([crop.x0, crop.y0])
    boxes_N4 = np.array([bounding_box(mask) for mask in masks_NHW], np.int64).reshape(-1, 4) + np.tile(corner, 2)
    areas_N = np.array([np.count_nonzero(mask) for mask in masks_NHW])
    good = np.flatnonzero((areas_N >= settings.min_area) & ~_cut_off(boxes_N4, crop, size, settings.crop_margin))
    chosen = stable.cpu()[good]
    return Regions(
        size,
        tuple(encode_runs(masks_NHW[index], size, (crop.y0, crop.x0)) for index in good),
        boxes_N4[good],
        scores_N.cpu()[chosen].numpy(),
        stability_N.cpu()[chosen].numpy(),
        clicks_N2[chosen].numpy() + corner.astype(np.float32),
    )


def _cut_off(boxes_N4: NDArray[np.int64], crop: Crop, size: tuple[int, int], margin: int) -> NDArray[np.bool_]:
    """Boxes that end near an edge of the crop which is no edge of the image."""
    last = boxes_N4 - [0, 0, 1, 1]  # SAM measures from the last pixel inside
    near_crop = np.abs(last - [crop.x0, crop.y0, crop.x1, crop.y1]) <= margin
    near_image = np.abs(last - [0, 0, size[1], size[0]]) <= margin
    return np.asarray((near_crop & ~near_image).any(1))
