"""How far one band alone gets: the best interval of its values as a detector of a class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.synthetic.scene import IGNORE, Scene

BINS = 400


@dataclass(frozen=True, slots=True)
class Interval:
    """Calling every pixel with low <= value <= high the class reaches this intersection over union."""

    low: float
    high: float
    iou: float


def best_interval(values: NDArray[np.float32], is_class: NDArray[np.bool_]) -> Interval:
    """The interval of values with the highest IoU, over all pairs of 400 quantiles of the values."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 1)
    hits = np.concatenate([[0], np.cumsum(np.bincount(place[is_class], minlength=len(edges)))])
    alarms = np.concatenate([[0], np.cumsum(np.bincount(place[~is_class], minlength=len(edges)))])
    true_positive = hits[None, :] - hits[:, None]
    false_positive = alarms[None, :] - alarms[:, None]
    iou = np.where(true_positive > 0, true_positive / np.maximum(hits[-1] + false_positive, 1), 0)
    start, stop = (int(place) for place in np.unravel_index(int(np.argmax(iou)), iou.shape))
    above = np.append(edges, np.inf)[stop]
    return Interval(float(edges[min(start, len(edges) - 1)]), float(above), float(iou[start, stop]))


def one_band_table(scenes: list[Scene], n_classes: int) -> NDArray[np.float64]:
    """Classes x bands: IoU of the best interval, fitted on all pixels of all scenes at once."""
    label = np.concatenate([scene.label_HW.ravel() for scene in scenes])
    table = np.zeros((n_classes, len(scenes[0].raster.bands)))
    for band in range(table.shape[1]):
        values = np.concatenate([scene.raster.pixels_CHW[band].ravel() for scene in scenes])
        valid = np.concatenate([scene.raster.valid_CHW[band].ravel() for scene in scenes]) & (label != IGNORE)
        for k in range(n_classes):
            table[k, band] = best_interval(values[valid], label[valid] == k).iou
    return table
