"""Perspective views cut out of a panorama, and put back where they belong."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.synthetic.camera import Equirectangular, Pinhole
from sensam.errors import SettingsError

Mode = Literal["bilinear", "nearest"]
ORIGIN = (0.0, 0.0, 0.0)
WIDEST_DEG = 150.0  # beyond it a flat picture is mostly rim


@dataclass(frozen=True, slots=True)
class Look:
    """Where a pinhole camera in the middle of the sphere looks; yaw is counted from the middle column, to the left."""

    yaw: float = 0.0  # radians
    pitch: float = 0.0  # upwards
    fov_deg: float = 70.0  # over the columns
    size: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        if not 0 < self.fov_deg <= WIDEST_DEG:
            raise SettingsError(f"A view spans between 0 and {WIDEST_DEG:g} degrees, found {self.fov_deg:g}.")

    @property
    def camera(self) -> Pinhole:
        return Pinhole(self.size, ORIGIN, self.fov_deg, self.yaw, self.pitch)


def cut_view(panorama_BCHW: Tensor, look: Look, *, mode: Mode = "bilinear") -> Tensor:
    """What the camera sees, B x C x h x w: `bilinear` for pixels and probabilities, `nearest` for labels and masks.

    Above and below the panorama's last rows the view repeats them.
    """
    size = (panorama_BCHW.shape[-2], panorama_BCHW.shape[-1])
    row_hw, column_hw = Equirectangular(size, ORIGIN).project(look.camera.rays())
    # One column from beyond each edge, so that what lies on the seam is interpolated across it.
    around = torch.cat([panorama_BCHW[..., -1:], panorama_BCHW, panorama_BCHW[..., :1]], -1)
    return _sample(around, row_hw, column_hw + 1, mode)


def paste_view(
    view_BChw: Tensor, look: Look, size: tuple[int, int], *, mode: Mode = "bilinear"
) -> tuple[Tensor, NDArray[np.bool_]]:
    """The view in a panorama of this size, and which of its pixels it covers; 0 elsewhere."""
    row_HW, column_HW = look.camera.project(Equirectangular(size, ORIGIN).rays())
    rows, columns = look.size
    # Only what lies between the middles of the outermost pixels is known; beyond them a value would be a guess.
    covered_HW = (row_HW >= 0) & (row_HW <= rows - 1) & (column_HW >= 0) & (column_HW <= columns - 1)
    pasted_BCHW = _sample(view_BChw, np.nan_to_num(row_HW), np.nan_to_num(column_HW), mode)
    return pasted_BCHW * torch.from_numpy(covered_HW).to(pasted_BCHW), covered_HW


def _sample(image_BCHW: Tensor, row_hw: NDArray[np.float32], column_hw: NDArray[np.float32], mode: Mode) -> Tensor:
    """Values at places counted in pixels, (0, 0) the middle of the first."""
    height, width = image_BCHW.shape[-2:]
    x, y = (column_hw + 0.5) * (2 / width) - 1, (row_hw + 0.5) * (2 / height) - 1
    grid_hw2 = torch.from_numpy(np.stack([x, y], -1)).to(image_BCHW.device, torch.float32)
    grid_Bhw2 = grid_hw2.expand(len(image_BCHW), *grid_hw2.shape)
    values = F.grid_sample(image_BCHW.float(), grid_Bhw2, mode=mode, padding_mode="border", align_corners=False)
    return values.to(image_BCHW.dtype)
