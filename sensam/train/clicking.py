"""How well one fixed click finds each region: the image encoded once, its regions decoded together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.clicks import RegionRule, Regions, find_regions, sample_grid, scoring_clicks
from sensam.errors import SettingsError
from sensam.methods.base import Method, Moment
from sensam.sam.model import Sam
from sensam.types import Batch, Prompts

AT_ONCE = 64  # prompts; the decoder copies the image embedding for every one
SMOOTH = 1e-6  # an empty answer to an empty region is right


@runtime_checkable
class AsksRegions(Protocol):
    """A method that says itself what a region is."""

    rule: RegionRule


@dataclass(frozen=True, slots=True, eq=False)
class ClickScores:
    """One image's regions: IoU at its own resolution, IoU at the decoder's (the published score), and area."""

    iou_N: NDArray[np.float64]
    decoder_iou_N: NDArray[np.float64]
    areas_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.iou_N)


@torch.no_grad()
def answer_clicks(sam: Sam, embedding_1Ehw: Tensor, xy_N2: NDArray[np.integer]) -> Tensor:
    """Low-resolution logits N x h x w, one mask for each click."""
    points_N12 = torch.as_tensor(xy_N2, dtype=torch.float32, device=embedding_1Ehw.device)[:, None]
    ones_N1 = torch.ones(len(points_N12), 1, dtype=torch.int64, device=points_N12.device)
    parts = [
        sam.decode(embedding_1Ehw, Prompts(points_N12[share], ones_N1[share]), multimask=False)[0][:, 0]
        for share in (slice(start, start + AT_ONCE) for start in range(0, len(points_N12), AT_ONCE))
    ]
    return torch.cat(parts)


def score_regions(sam: Sam, embedding_1Ehw: Tensor, label_HW: NDArray[np.integer], rule: RegionRule) -> ClickScores:
    """Click every region of an encoded image of the label's size; pixels to ignore count for nothing."""
    regions = find_regions(label_HW, rule)
    if not len(regions):
        return ClickScores(np.zeros(0), np.zeros(0), regions.areas_N)
    xy_N2 = np.array([(click.x, click.y) for click in scoring_clicks(regions)])
    logits_Nhw = answer_clicks(sam, embedding_1Ehw, xy_N2)
    known_HW = label_HW != rule.ignore
    native = [_native_iou(sam, logits_hw, regions, number, known_HW) for number, logits_hw in enumerate(logits_Nhw, 1)]
    patch = sam.anatomy.patch
    region_hw, known_hw = (sample_grid(part, patch, legacy=rule.legacy) for part in (regions.region_HW, known_HW))
    found_Nhw = (logits_Nhw > 0).cpu().numpy()
    coarse = [iou(found_hw & known_hw, region_hw == number) for number, found_hw in enumerate(found_Nhw, 1)]
    return ClickScores(np.array(native), np.array(coarse), regions.areas_N)


def iou(found_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 where both are empty."""
    return float(((found_HW & truth_HW).sum() + SMOOTH) / ((found_HW | truth_HW).sum() + SMOOTH))


def _native_iou(sam: Sam, logits_hw: Tensor, regions: Regions, number: int, known_HW: NDArray[np.bool_]) -> float:
    """Of one mask at a time: all of a large image's at once would need too much memory."""
    rows, columns = known_HW.shape
    found_HW = (sam.enlarge(logits_hw[None, None].float(), (rows, columns))[0, 0] > 0).cpu().numpy()
    return iou(found_HW & known_HW, regions.mask(number))


@dataclass(frozen=True)
class ClickJudge:
    """Mean IoU of one click, over the regions of a split; images without regions are left out and counted."""

    ignore: int = 255
    decides: str = "click_iou"
    higher_is_better: bool = True

    def measure(self, method: Method, batch: Batch, moment: Moment) -> Tensor:  # noqa: ARG002 - as every judge
        sam = method.promptable()
        if sam is None or batch.label_BHW is None:
            raise SettingsError(f"{type(method).__name__} cannot be judged by clicks without a SAM and labels.")
        rule = method.rule if isinstance(method, AsksRegions) else RegionRule(ignore=self.ignore)
        with torch.no_grad():
            embedding_BEhw = sam.encode(batch.image_BCHW)
        sums_6 = np.zeros(6)
        for row, label_HW in enumerate(batch.label_BHW.cpu().numpy()):
            scores = score_regions(sam, embedding_BEhw[row : row + 1], label_HW, rule)
            count = len(scores)
            mean = scores.iou_N.mean() if count else 0.0
            sums_6 += (scores.iou_N.sum(), scores.decoder_iou_N.sum(), count, mean, count > 0, count == 0)
        return torch.from_numpy(sums_6).to(batch.image_BCHW.device)

    def report(self, total: Tensor) -> Mapping[str, float]:
        native, coarse, regions, by_image, images, skipped = total.tolist()
        nothing = float("nan")
        return {
            "click_iou": native / regions if regions else nothing,
            "click_iou_decoder": coarse / regions if regions else nothing,
            "click_iou_by_image": by_image / images if images else nothing,
            "regions": regions,
            "images_without_regions": skipped,
        }
