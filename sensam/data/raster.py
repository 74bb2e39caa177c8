"""Pixels that travel with what is needed to trust them: valid mask, band names, place on Earth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError

Window = tuple[int, int, int, int]  # row, column, height, width in pixels of the whole scene
Field = NDArray[np.float32]  # numbers over pixels, points or directions
Mask = NDArray[np.bool_]  # which of them
Scaling = tuple[float, float]  # scale and offset: physical value = stored number * scale + offset


def shifted(transform: Any, window: Window) -> Any:
    """Where a window of a scene lies: the scene's transform, moved to the window's first pixel."""
    if transform is None:
        return None
    a, b, c, d, e, f = tuple(transform)[:6]
    row, col, _, _ = window
    return type(transform)(a, b, c + a * col + b * row, d, e, f + d * col + e * row)


def applied(transform: Any, x: float, y: float) -> tuple[float, float]:
    """Where a transform takes a point: column and row onto the map, or by its inverse back."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """An image and which of its numbers mean something. Where `valid` is False the value means nothing.

    A reader returns stored numbers (`is_decoded` False) and what the file states about their scaling;
    `Sensor.decode` turns them into physical units, once.
    """

    pixels_CHW: NDArray[np.float32]
    valid_CHW: NDArray[np.bool_]
    bands: tuple[str, ...]
    crs: Any = None  # rasterio.crs.CRS, or None when the image has no place on Earth
    transform: Any = None  # affine.Affine from (column, row) to (x, y), or None
    is_decoded: bool = True  # False as read from a file: a sensor has yet to apply scale, offset and nodata
    scaling: tuple[Scaling | None, ...] = ()  # what the file itself states per band, while not decoded

    def __post_init__(self) -> None:
        shape = self.pixels_CHW.shape
        if len(shape) != 3 or self.valid_CHW.shape != shape:
            raise InputError(f"A raster needs bands x rows x columns, found {shape} and {self.valid_CHW.shape}.")
        if len(self.bands) != shape[0]:
            raise InputError(f"The image has {shape[0]} bands, but {len(self.bands)} names: {list(self.bands)}.")

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels_CHW.shape[1], self.pixels_CHW.shape[2]

    @property
    def valid_HW(self) -> NDArray[np.bool_]:
        """Pixels where every band is valid."""
        return np.asarray(self.valid_CHW.all(axis=0))

    def renamed(self, bands: Sequence[str]) -> Self:
        """The same pixels under other band names."""
        return replace(self, bands=tuple(bands))

    def select(self, bands: Sequence[str]) -> Self:
        """Some of the bands, in this order."""
        planes = [self.bands.index(name) for name in bands]
        return replace(
            self,
            pixels_CHW=self.pixels_CHW[planes],
            valid_CHW=self.valid_CHW[planes],
            bands=tuple(bands),
            scaling=tuple(self.scaling[plane] for plane in planes) if self.scaling else (),
        )

    def with_pixels(self, pixels_CHW: NDArray[np.float32], valid_CHW: NDArray[np.bool_], *, is_decoded: bool) -> Self:
        """Other numbers for the same bands and the same ground."""
        scaling = () if is_decoded else self.scaling
        return replace(self, pixels_CHW=pixels_CHW, valid_CHW=valid_CHW, is_decoded=is_decoded, scaling=scaling)


@dataclass(frozen=True, slots=True)
class RasterInfo:
    """What a file says about its bands and its place, known without reading a pixel."""

    name: str  # the file, as messages call it
    bands: tuple[str, ...]
    height: int
    width: int
    dtypes: tuple[str, ...]  # of each band, as all that follow
    wavelengths_nm: tuple[float | None, ...]
    nodata: tuple[float | None, ...]
    descriptions: tuple[str, ...]  # as the file has them, "" where it has none
    units: tuple[str, ...]
    scaling: tuple[Scaling | None, ...]
    crs: Any = None
    transform: Any = None
    has_names: bool = False  # False where the file gives no names: `bands` then counts, or repeats colours
    has_alpha: bool = False  # an alpha plane, used as valid mask and not counted among the bands

    @property
    def dtype(self) -> str:
        """The type the numbers are stored in, or all of them where bands differ."""
        return ", ".join(dict.fromkeys(self.dtypes))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width
