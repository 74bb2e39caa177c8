"""Many masks of one image in little memory: run lengths, boxes, scores; overlap and speckle removal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchvision.ops import nms

from sensam.errors import InputError

EIGHT_NEIGHBOURS = np.ones((3, 3), np.int8)


def encode_runs(
    mask_HW: NDArray[np.bool_], size: tuple[int, int] | None = None, corner: tuple[int, int] = (0, 0)
) -> NDArray[np.int64]:
    """Lengths of alternating runs down the columns, background first: COCO's uncompressed counts.

    The mask may be a window of an image of `size`, with its first row and column at `corner`.
    """
    height, width = size or mask_HW.shape
    left, top, right, bottom = bounding_box(mask_HW).tolist()
    if right == 0:
        return np.array([height * width], np.int64)
    # Only the box is searched: a mask is usually much smaller than its image.
    box_wh = np.pad(mask_HW[top:bottom, left:right].T, ((0, 0), (1, 1)))
    column, row = np.nonzero(box_wh[:, 1:] != box_wh[:, :-1])
    changes = (column + left + corner[1]) * height + row + top + corner[0]
    starts, ends = changes[::2], changes[1::2]
    apart = starts[1:] != ends[:-1]  # a run that fills a column goes on in the next
    changes = np.stack([starts[np.append(True, apart)], ends[np.append(apart, True)]], 1).ravel()
    counts = np.diff(changes, prepend=0, append=height * width)
    return counts if counts[-1] else counts[:-1]


def decode_runs(counts: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of these runs."""
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(size[::-1]).T


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """N masks of one image, best score first, kept as run lengths."""

    size: tuple[int, int]
    runs: tuple[NDArray[np.int64], ...]
    boxes_N4: NDArray[np.int64]  # x0, y0, x1, y1; x1 and y1 are the first column and row beyond
    scores_N: NDArray[np.float32]  # the IoU SAM expects
    stability_N: NDArray[np.float32]  # IoU of the mask at a stricter and a laxer threshold
    points_N2: NDArray[np.float32]  # the click that found it

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def areas_N(self) -> NDArray[np.int64]:
        """Pixels in each mask."""
        return np.array([counts[1::2].sum() for counts in self.runs], np.int64)

    def masks(self) -> NDArray[np.bool_]:
        """All masks, N x H x W; `mask` decodes one, where all would not fit into memory."""
        masks_NHW = np.zeros((len(self), *self.size), np.bool_)
        for index in range(len(self)):
            masks_NHW[index] = self.mask(index)
        return masks_NHW

    def mask(self, index: int) -> NDArray[np.bool_]:
        """One mask, H x W."""
        return decode_runs(self.runs[index], self.size)

    def take(self, indices: NDArray[np.integer[Any]] | Sequence[int]) -> "Regions":
        """These masks only, in this order."""
        order = np.asarray(indices, np.int64)
        return Regions(
            self.size,
            tuple(self.runs[index] for index in order),
            self.boxes_N4[order],
            self.scores_N[order],
            self.stability_N[order],
            self.points_N2[order],
        )


def no_regions(size: tuple[int, int]) -> Regions:
    """What an image without any mask has."""
    none = np.zeros(0, np.float32)
    return Regions(size, (), np.zeros((0, 4), np.int64), none, none, np.zeros((0, 2), np.float32))


def join_regions(parts: Sequence[Regions]) -> Regions:
    """All masks of several sets on one image, in their order."""
    sizes = {part.size for part in parts}
    if len(sizes) != 1:
        raise InputError(f"Masks of one image are joined, found masks of {len(sizes)} sizes: {sorted(sizes)}.")
    return Regions(
        sizes.pop(),
        tuple(counts for part in parts for counts in part.runs),
        np.concatenate([part.boxes_N4 for part in parts]),
        np.concatenate([part.scores_N for part in parts]),
        np.concatenate([part.stability_N for part in parts]),
        np.concatenate([part.points_N2 for part in parts]),
    )


def without_duplicates(regions: Regions, max_overlap: float, preferred_N: NDArray[np.bool_] | None = None) -> Regions:
    """Best first, without those whose box overlaps (IoU) a better one's by more than this."""
    rank = torch.from_numpy(regions.scores_N.astype(np.float64))
    if preferred_N is not None:
        rank = rank + 1e6 * torch.from_numpy(preferred_N)  # before any score
    # SAM measures a box between the middles of its outermost pixels; a hair more lets lines one pixel wide overlap.
    boxes_N4 = torch.from_numpy(regions.boxes_N4 - [0, 0, 1 - 1e-6, 1 - 1e-6])
    kept = nms(boxes_N4, rank, max_overlap)
    return regions.take(kept.numpy())


def without_speckle(regions: Regions, least: int, max_overlap: float, valid_HW: NDArray[np.bool_]) -> Regions:
    """Holes and islands of fewer than `least` pixels closed and dropped; what became a duplicate goes too.

    Where `valid_HW` is False stays outside every mask, hole or not.
    """
    if not len(regions):
        return regions
    masks = [remove_speckle(regions.mask(index), least) & valid_HW for index in range(len(regions))]
    runs = tuple(encode_runs(mask) for mask in masks)
    unchanged = np.array([np.array_equal(*pair) for pair in zip(runs, regions.runs, strict=True)])
    boxes_N4 = np.stack([bounding_box(mask) for mask in masks])
    cleaned = Regions(regions.size, runs, boxes_N4, regions.scores_N, regions.stability_N, regions.points_N2)
    kept = without_duplicates(cleaned, max_overlap, preferred_N=unchanged)
    return kept.take(np.argsort(-kept.scores_N, kind="stable"))


def remove_speckle(mask_HW: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Holes filled, then islands dropped, that have fewer than `least` pixels; the largest island always stays."""
    holes, areas = _components(~mask_HW)
    filled = mask_HW | (areas < least)[holes] & ~mask_HW
    islands, areas = _components(filled)
    kept = areas >= least
    if areas.size > 1:
        kept[1 + areas[1:].argmax()] = True
    kept[0] = False
    return np.asarray(kept[islands])


def _components(mask_HW: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The number of the component at every pixel (0 is none) and the area of each."""
    labels_HW, _ = ndimage.label(mask_HW, EIGHT_NEIGHBOURS)
    return labels_HW, np.bincount(labels_HW.ravel())


def bounding_box(mask_HW: NDArray[np.bool_]) -> NDArray[np.int64]:
    """x0, y0, x1, y1 of a mask, ends exclusive; zeros for an empty one."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if not len(rows):
        return np.zeros(4, np.int64)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.int64)
