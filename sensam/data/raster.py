"""Pixels that travel with what is needed to trust them: valid mask, band names, place on Earth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """An image in physical units. Where `valid` is False the pixel's value means nothing, whatever it holds."""

    pixels_CHW: NDArray[np.float32]
    valid_CHW: NDArray[np.bool_]
    bands: tuple[str, ...]
    crs: Any = None  # rasterio.crs.CRS, or None when the image has no place on Earth
    transform: Any = None  # affine.Affine from (column, row) to (x, y), or None

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
