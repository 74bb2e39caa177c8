"""How well one fixed click finds each region: the image encoded once, its regions decoded together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.clicks import RegionRule, find_regions, sample_grid, scoring_clicks
from sensam.data.resample import resample_nearest
from sensam.errors import SettingsError
from sensam.methods.base import Method, Moment
from sensam.nn.wide import wide
from sensam.sam.framing import Embedded, Frame
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
def answer_clicks(sam: Sam, embedded: Embedded, xy_NP2: NDArray[np.integer], labels_NP: NDArray[np.integer]) -> Tensor:
    """Low-resolution logits N x 1 x h x w, one mask for each prompt of P clicks in the image's own pixels."""
    device = embedded.embedding_1Ehw.device
    points_NP2 = embedded.frame.place(torch.as_tensor(xy_NP2, dtype=torch.float32, device=device))
    signs_NP = torch.as_tensor(labels_NP, dtype=torch.int64, device=device)
    parts = [
        sam.decode(embedded.embedding_1Ehw, Prompts(points_NP2[share], signs_NP[share]), multimask=False)[0]
        for share in (slice(start, start + AT_ONCE) for start in range(0, len(points_NP2), AT_ONCE))
    ]
    return torch.cat(parts)


def score_regions(sam: Sam, embedded: Embedded, label_HW: NDArray[np.integer], rule: RegionRule) -> ClickScores:
    """Click every region of an encoded image; pixels to ignore count for nothing."""
    regions = find_regions(label_HW, rule)
    if not len(regions):
        return ClickScores(np.zeros(0), np.zeros(0), regions.areas_N)
    xy_N12 = np.array([[(click.x, click.y)] for click in scoring_clicks(regions)])
    logits_N1hw = answer_clicks(sam, embedded, xy_N12, np.ones((len(xy_N12), 1), np.int64))
    known_HW = label_HW != rule.ignore
    native = [
        iou(found_HW & known_HW, regions.mask(number))
        for number, found_HW in enumerate(native_masks(sam, embedded, logits_N1hw), 1)
    ]
    region_hw, known_hw = (_at_decoder(part, sam, embedded, rule) for part in (regions.region_HW, known_HW))
    found_Nhw = (logits_N1hw[:, 0] > 0).cpu().numpy()
    coarse = [iou(found_hw & known_hw, region_hw == number) for number, found_hw in enumerate(found_Nhw, 1)]
    return ClickScores(np.array(native), np.array(coarse), regions.areas_N)


def native_masks(sam: Sam, embedded: Embedded, logits_N1hw: Tensor) -> Iterator[NDArray[np.bool_]]:
    """Answers at the image's own pixels, one at a time: all of a large image's at once would need too much memory."""
    for logits_1hw in logits_N1hw:
        yield (embedded.frame.restore(sam, logits_1hw[None])[0, 0] > 0).cpu().numpy()


def iou(found_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 where both are empty."""
    return float(((found_HW & truth_HW).sum() + SMOOTH) / ((found_HW | truth_HW).sum() + SMOOTH))


def _at_decoder(map_HW: NDArray[Any], sam: Sam, embedded: Embedded, rule: RegionRule) -> NDArray[Any]:
    """A map as the decoder's logits lie: scaled and padded as the image was."""
    frame = embedded.frame
    scaled = resample_nearest(map_HW, *frame.scaled)
    padding = [(0, whole - side) for whole, side in zip(frame.encoded, frame.scaled, strict=True)]
    return sample_grid(np.pad(scaled, padding), sam.anatomy.patch, legacy=rule.legacy)


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
        size = (batch.image_BCHW.shape[-2], batch.image_BCHW.shape[-1])
        for row, label_HW in enumerate(batch.label_BHW.cpu().numpy()):
            embedded = Embedded(embedding_BEhw[row : row + 1], Frame(size, size, size))
            scores = score_regions(sam, embedded, label_HW, rule)
            count = len(scores)
            mean = scores.iou_N.mean() if count else 0.0
            sums_6 += (scores.iou_N.sum(), scores.decoder_iou_N.sum(), count, mean, count > 0, count == 0)
        device = batch.image_BCHW.device
        return torch.tensor(sums_6, dtype=wide(device), device=device)

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
