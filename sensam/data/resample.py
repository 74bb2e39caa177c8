"""Another size on the same grid for pixels, validity and labels: pixel centres meet, invalid numbers never spread."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resample_nearest(array: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Another size, every pixel the one under its centre: for labels and validity, which know no mean."""
    row = _nearest(array.shape[-2], rows)
    column = _nearest(array.shape[-1], columns)
    return np.asarray(array[..., row[:, None], column])


def resample_linear(
    pixels_CHW: NDArray[Any], valid_CHW: NDArray[np.bool_] | None, rows: int, columns: int
) -> NDArray[np.float32]:
    """Another size by linear interpolation among valid neighbours; the grid is that of `resample_nearest`."""
    pixels = pixels_CHW.astype(np.float32)
    if valid_CHW is None:
        return _linear(_linear(pixels, rows, -2), columns, -1)
    weight = valid_CHW.astype(np.float32)
    weight_sum = _linear(_linear(weight, rows, -2), columns, -1)
    value_sum = _linear(_linear(np.where(valid_CHW, pixels, 0), rows, -2), columns, -1)
    return np.asarray(value_sum / np.where(weight_sum > 0, weight_sum, 1))


def resample_both(
    pixels_CHW: NDArray[Any], valid_CHW: NDArray[np.bool_] | None, rows: int, columns: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Pixels and where they are valid at another size, on one grid."""
    valid = None if valid_CHW is None else resample_nearest(valid_CHW, rows, columns)
    return resample_linear(pixels_CHW, valid_CHW, rows, columns), valid


def _centres(length: int, wanted: int) -> NDArray[np.float64]:
    return np.asarray((np.arange(wanted) + 0.5) * length / wanted)


def _nearest(length: int, wanted: int) -> NDArray[np.int64]:
    return np.minimum(_centres(length, wanted).astype(np.int64), length - 1)


def _linear(array: NDArray[np.float32], wanted: int, axis: int) -> NDArray[np.float32]:
    length = array.shape[axis]
    place = np.clip(_centres(length, wanted) - 0.5, 0, length - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    part = (place - low).astype(np.float32)
    part = part[:, None] if axis == -2 else part
    return np.asarray(np.take(array, low, axis) * (1 - part) + np.take(array, high, axis) * part)
