"""How an image sees the world: what each pixel looks at, how much of the sphere it is, and where it sees nothing."""

from dataclasses import dataclass
from functools import cached_property
from math import pi, radians
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.camera import Equirectangular, Fisheye
from sensam.data.raster import Field
from sensam.sensors import Sensor

ORIGIN = (0.0, 0.0, 0.0)
Size = tuple[int, int]


class Lens(Protocol):
    """What windows and their losses need to know of an image."""

    @property
    def size(self) -> Size: ...
    @property
    def wraps(self) -> bool: ...  # the first column is the neighbour of the last
    @property
    def area_HW(self) -> Tensor: ...  # what a pixel counts: 1 where it is most of the sphere, 0 where it sees nothing
    @property
    def key(self) -> tuple[object, ...]: ...  # what decides its areas, beyond the size and whether it wraps


class RoundLens(Lens, Protocol):
    """A lens that also knows where each pixel looks, so that other cameras can look through it."""

    @property
    def camera(self) -> Equirectangular | Fisheye: ...
    @property
    def reach(self) -> tuple[float, float]: ...  # radians over the rows and over the columns
    def sees(self, row: Field, column: Field) -> NDArray[np.bool_]: ...  # whether something is seen at such places


@dataclass(frozen=True)
class FlatLens:
    """An image of which no more is known: every pixel is worth the same."""

    size: Size
    wraps: bool = False

    @property
    def area_HW(self) -> Tensor:
        return torch.ones(self.size, dtype=torch.float64)

    @property
    def key(self) -> tuple[object, ...]:
        return ()


@dataclass(frozen=True)
class PanoramaLens:
    """An equirectangular image: all longitudes over the columns, rows around the horizon."""

    size: Size
    wraps: bool = True

    @property
    def camera(self) -> Equirectangular:
        return Equirectangular(self.size, ORIGIN)

    @property
    def reach(self) -> tuple[float, float]:
        return self.camera.vertical_fov, 2 * pi

    @cached_property
    def area_HW(self) -> Tensor:
        area_H = solid_angle(self.size)
        return (area_H / area_H.max())[:, None].expand(self.size)

    @property
    def key(self) -> tuple[object, ...]:
        return ()

    def sees(self, row: Field, column: Field) -> NDArray[np.bool_]:
        """Within the belt; every column is somewhere, as they go around."""
        return np.asarray((row >= -0.5) & (row <= self.size[0] - 0.5) & np.isfinite(column))


@dataclass(frozen=True)
class FisheyeLens:
    """An equidistant fisheye, its image circle as wide as the image; rows beyond the circle may be missing."""

    size: Size
    fov_deg: float
    wraps: bool = False

    @property
    def camera(self) -> Fisheye:
        return Fisheye(self.size, ORIGIN, self.fov_deg)

    @property
    def reach(self) -> tuple[float, float]:
        across = radians(self.fov_deg)
        return min(pi, across * min(1.0, self.size[0] / self.size[1])), across

    @cached_property
    def area_HW(self) -> Tensor:
        """A ring of the image at an angle from the axis is a ring of the sphere, narrower by sine over angle."""
        area_HW = np.sinc(self.camera.away().astype(np.float64) / pi)
        return torch.from_numpy(area_HW * self.camera.circle())

    @property
    def key(self) -> tuple[object, ...]:
        return "fisheye", self.fov_deg

    def sees(self, row: Field, column: Field) -> NDArray[np.bool_]:
        """Within the circle, and within the image."""
        return self.camera.sees(row, column)


def lens_of(sensor: Sensor, size: Size) -> Lens:
    """The lens of a sensor's images of this size."""
    if sensor.geometry == "equirectangular":
        return PanoramaLens(size)
    if sensor.geometry == "fisheye":
        assert sensor.fov_deg is not None
        return FisheyeLens(size, sensor.fov_deg)
    return FlatLens(size)


def latitudes(size: Size) -> Tensor:
    """Radians above the horizon of each row of an equirectangular image with square pixels, around the horizon."""
    height, width = size
    reach = min(pi, 2 * pi * height / width)
    return (0.5 - (torch.arange(height, dtype=torch.float64) + 0.5) / height) * reach


def solid_angle(size: Size) -> Tensor:
    """Steradians of a pixel in each row; over a whole sphere they add up to 4 pi."""
    height, width = size
    reach = min(pi, 2 * pi * height / width)
    edges = (0.5 - torch.arange(height + 1, dtype=torch.float64) / height) * reach
    return (2 * pi / width) * (edges[:-1].sin() - edges[1:].sin())
