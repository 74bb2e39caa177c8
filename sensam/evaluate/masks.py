"""Masks as regions: where to click one, how much two have in common."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt


def innermost(mask_HW: NDArray[np.bool_]) -> tuple[int, int]:
    """x and y of the pixel farthest from the edge of a mask."""
    depth = distance_transform_edt(np.pad(mask_HW, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(column), int(row)


def iou(found_NHW: NDArray[np.bool_], truth_NHW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of each pair."""
    both, either = ((op(found_NHW, truth_NHW)).sum((1, 2)) for op in (np.logical_and, np.logical_or))
    return np.asarray(both / np.maximum(either, 1), np.float64)
