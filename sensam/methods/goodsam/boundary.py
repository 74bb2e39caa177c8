"""Boundary enhancement: SAM's outlines tell the assistant where classes end, and the inside of a mask which."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from sensam.methods.goodsam.settings import RectifySettings
from sensam.sam.regions import Regions

SAM_SIDE = 1024  # pixels on a side of what SAM sees; lengths are settled there
CROSS, SQUARE = ndimage.generate_binary_structure(2, 1), np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """What the masks of one window say of each pixel. Nested masks: a pixel belongs to its smallest."""

    owner_hw: Tensor  # number of the mask, -1 where there is none
    inside_hw: Tensor  # bool, in its mask and away from the mask's outline
    band_hw: Tensor  # bool, in its mask and near the outline
    edge_hw: Tensor  # bool, near the outline of any mask
    slim_N: Tensor  # bool, masks without an inside: all of such a mask counts as both inside and band

    def to(self, device: torch.device) -> "Outlines":
        """The same on another device."""
        parts = (self.owner_hw, self.inside_hw, self.band_hw, self.edge_hw, self.slim_N)
        return Outlines(*(part.to(device) for part in parts))


def trace(regions: Regions, radius: int) -> Outlines:
    """The outlines of a window's masks, `radius` pixels wide to each side."""
    owner_hw = np.full(regions.size, -1, np.int64)
    inside_hw, band_hw, edge_hw = (np.zeros(regions.size, bool) for _ in range(3))
    slim_N = np.zeros(len(regions), bool)
    for number in np.argsort(-regions.areas_N, kind="stable"):
        box = _box_around(regions.boxes_N4[number], regions.size)
        mask = regions.mask(int(number))[box]
        if not mask.any():
            continue
        inner = shrink(mask, radius)
        slim_N[number] = not inner.any()
        edge_hw[box] |= rim(mask)
        owner_hw[box][mask] = number
        inside_hw[box][mask] = True if slim_N[number] else inner[mask]
        band_hw[box][mask] = True if slim_N[number] else ~inner[mask]
    # What the window cut off is no outline of the thing.
    edge_hw[[0, -1]] = False
    edge_hw[:, [0, -1]] = False
    edge_hw = ndimage.binary_dilation(edge_hw, SQUARE, iterations=radius)
    return Outlines(*(torch.from_numpy(part) for part in (owner_hw, inside_hw, band_hw, edge_hw, slim_N)))


def rim(mask_hw: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that touch what is not of it; the frame of the image is no neighbour."""
    return np.asarray(mask_hw & ~ndimage.binary_erosion(mask_hw, CROSS, border_value=1))


def shrink(mask_hw: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """The pixels of a mask farther than `radius` from its outline."""
    return np.asarray(ndimage.binary_erosion(mask_hw, SQUARE, iterations=radius, border_value=1))


def radius_in(window: tuple[int, int], settings: RectifySettings) -> int:
    """The radius of an outline in pixels of a window: as wide as it would be before SAM."""
    return max(1, round(settings.radius * max(window) / SAM_SIDE))


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryLosses:
    """The two parts of the loss of one window, and where the first one acts."""

    label: Tensor
    edge: Tensor
    doubtful_hw: Tensor


def boundary_losses(
    log_prob_Chw: Tensor, outlines: Outlines, thin_C: Tensor, settings: RectifySettings
) -> BoundaryLosses:
    """Doubtful pixels near an outline are told what the inside of their mask is; edges belong on outlines."""
    prob_Chw = log_prob_Chw.exp()
    inside_NC, strong_N = inside_classes(prob_Chw.detach(), outlines, settings)
    doubtful_hw = find_doubtful(prob_Chw.detach(), outlines, inside_NC, strong_N, thin_C, settings.doubt)
    covered_hw = outlines.owner_hw >= 0
    off_hw = (covered_hw & ~outlines.edge_hw).to(prob_Chw)
    edge = (soft_edges(prob_Chw) * off_hw).sum() / covered_hw.sum().clamp(min=1)
    if not doubtful_hw.any():
        return BoundaryLosses(prob_Chw.sum() * 0, edge, doubtful_hw)
    targets_MC = inside_NC[outlines.owner_hw[doubtful_hw]]
    label = -(targets_MC * log_prob_Chw[:, doubtful_hw].T).sum(1).mean()
    return BoundaryLosses(label, edge, doubtful_hw)


def inside_classes(prob_Chw: Tensor, outlines: Outlines, settings: RectifySettings) -> tuple[Tensor, Tensor]:
    """What the inside of each mask is, by confident pixels most (N x C), and which masks are sure enough to tell."""
    inside_hw = outlines.inside_hw & (outlines.owner_hw >= 0)
    owners_M = outlines.owner_hw[inside_hw]
    prob_MC = prob_Chw[:, inside_hw].T
    weight_M = prob_MC.max(1).values if len(prob_MC) else prob_MC.new_zeros(0)
    count = len(outlines.slim_N)
    total_NC = prob_Chw.new_zeros((count, len(prob_Chw))).index_add_(0, owners_M, prob_MC * weight_M[:, None])
    inside_NC = total_NC / total_NC.sum(1, keepdim=True).clamp(min=1e-12)
    pixels_N = torch.bincount(owners_M, minlength=count)
    slim_N = outlines.slim_N
    needed_N = torch.where(slim_N, settings.sure_slim, settings.sure)
    top_N = inside_NC.amax(1) if count else needed_N
    return inside_NC, (top_N >= needed_N) & (slim_N | (pixels_N >= settings.min_inside)) & (pixels_N > 0)


def find_doubtful(
    prob_Chw: Tensor, outlines: Outlines, inside_NC: Tensor, strong_N: Tensor, thin_C: Tensor, doubt: float
) -> Tensor:
    """Pixels near an outline that are unsure or differ from their mask, without those of thin classes.

    A slim mask may overrule a thin class: it is thin itself.
    """
    if not len(inside_NC):
        return torch.zeros_like(outlines.band_hw)
    sureness_hw, guess_hw = prob_Chw.max(0)
    owner_hw = outlines.owner_hw.clamp(min=0)
    vote_hw = inside_NC.argmax(1)[owner_hw]
    told_hw = outlines.band_hw & (outlines.owner_hw >= 0) & strong_N[owner_hw]
    doubtful_hw = told_hw & ((sureness_hw < doubt) | (guess_hw != vote_hw))
    overruled_hw = outlines.slim_N[owner_hw] & (vote_hw != guess_hw)
    return doubtful_hw & (~thin_C[guess_hw] | overruled_hw)


def soft_edges(prob_Chw: Tensor) -> Tensor:
    """How surely a pixel differs in class from its right or lower neighbour."""
    right = 1 - (prob_Chw[:, :, :-1] * prob_Chw[:, :, 1:]).sum(0)
    below = 1 - (prob_Chw[:, :-1] * prob_Chw[:, 1:]).sum(0)
    right = torch.nn.functional.pad(right, (0, 1))
    below = torch.nn.functional.pad(below, (0, 0, 0, 1))
    return torch.maximum(right, below)


def _box_around(box_4: NDArray[np.int64], size: tuple[int, int]) -> tuple[slice, slice]:
    """A mask's box with one pixel of what surrounds it, so that eroding sees where the mask ends."""
    left, top, right, bottom = (int(value) for value in box_4)
    return slice(max(0, top - 1), min(size[0], bottom + 1)), slice(max(0, left - 1), min(size[1], right + 1))
