"""Perspective views cut out of a panorama or a fisheye."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.camera import Pinhole
from sensam.data.lens import ORIGIN, PanoramaLens, RoundLens
from sensam.errors import SettingsError

Mode = Literal["bilinear", "nearest"]
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

    def covers(self, row: NDArray[np.float32], column: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Places in the view that are known.

        They lie between the middles of the outermost pixels; beyond them a value would be a guess.
        """
        rows, columns = self.size
        return np.asarray((row >= 0) & (row <= rows - 1) & (column >= 0) & (column <= columns - 1))


def cut_view(image_BCHW: Tensor, look: Look, *, mode: Mode = "bilinear", lens: RoundLens | None = None) -> Tensor:
    """What the camera sees, B x C x h x w: `bilinear` for pixels and probabilities, `nearest` for labels and masks.

    The image is a panorama if no lens is given. Beyond what it shows, the view repeats its last pixels.
    """
    lens = lens or PanoramaLens((image_BCHW.shape[-2], image_BCHW.shape[-1]))
    row_hw, column_hw = lens.camera.project(look.camera.rays())
    return sample(image_BCHW, torch.from_numpy(row_hw), torch.from_numpy(column_hw), mode, wraps=lens.wraps)


def sample(image_BCHW: Tensor, row_hw: Tensor, column_hw: Tensor, mode: Mode, *, wraps: bool) -> Tensor:
    """Values at places counted in pixels, (0, 0) the middle of the first; beyond the image its last pixels."""
    if wraps:  # one column from beyond each edge, so that what lies on the seam is interpolated across it
        image_BCHW = torch.cat([image_BCHW[..., -1:], image_BCHW, image_BCHW[..., :1]], -1)
        column_hw = column_hw + 1
    height, width = image_BCHW.shape[-2:]
    grid_hw2 = torch.stack([(column_hw + 0.5) * (2 / width) - 1, (row_hw + 0.5) * (2 / height) - 1], -1)
    grid_hw2 = grid_hw2.to(image_BCHW.device, torch.float32)
    grid_Bhw2 = grid_hw2.expand(len(image_BCHW), *grid_hw2.shape)
    values = F.grid_sample(image_BCHW.float(), grid_Bhw2, mode=mode, padding_mode="border", align_corners=False)
    return values.to(image_BCHW.dtype)
