"""Stored numbers to float32: exact for integers up to 2**24, nearest for float64, otherwise refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError

LARGEST_INTEGER = 2**24  # float32 holds every whole number up to here, and not every one beyond
EXACT = {"bool", "uint8", "int8", "uint16", "int16", "float16", "float32"}


def to_float32(stored: NDArray[Any], valid: NDArray[np.bool_], name: str) -> NDArray[np.float32]:
    """The same numbers as float32; what is not valid may become anything."""
    if stored.dtype.name in EXACT:
        return stored.astype(np.float32, copy=False)
    if stored.dtype.kind in "iu":
        beyond = valid & ((stored > LARGEST_INTEGER) | (stored < -LARGEST_INTEGER))
        if beyond.any():
            raise InputError(
                f"{name} holds {stored.dtype} value {stored[beyond][0]}, but only whole numbers up to "
                f"{LARGEST_INTEGER} stay exact. Store the image as float32 in a unit that fits."
            )
        return stored.astype(np.float32)
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            pixels = stored.astype(np.float32)
        overflown = valid & np.isfinite(stored) & ~np.isfinite(pixels)
        if overflown.any():
            raise InputError(
                f"{name} holds {stored[overflown][0]}, beyond the range of float32. "
                "If it marks missing data, declare it as nodata in the file."
            )
        return pixels
    raise InputError(f"{name} holds values of type {stored.dtype}. Numbers are needed.")


def differs_from(stored: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Where a stored number is not the nodata value, compared in the type it is stored in."""
    if np.isnan(nodata):
        return ~np.isnan(stored) if stored.dtype.kind in "fc" else np.ones(stored.shape, bool)
    if stored.dtype.kind == "b":
        stored = stored.view(np.uint8)
    if stored.dtype.kind in "iu":
        limits = np.iinfo(stored.dtype)
        if not limits.min <= nodata <= limits.max or nodata != int(nodata):
            return np.ones(stored.shape, bool)  # a value this type cannot hold marks nothing
        return np.asarray(stored != stored.dtype.type(int(nodata)))
    with np.errstate(over="ignore"):
        return np.asarray(stored != stored.dtype.type(nodata))
