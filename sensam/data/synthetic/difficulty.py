"""How far one band alone gets: the best interval of its values as a detector of a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.synthetic.scene import IGNORE, Scene

BINS = 400


@dataclass(frozen=True, slots=True)
class Interval:
    """Calling every pixel with low <= value < high the class reaches this intersection over union."""

    low: float
    high: float
    iou: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """Values sorted into quantiles: once per band, however many classes are looked for."""

    edges: NDArray[np.float64]
    bin_N: NDArray[np.int64]

    @classmethod
    def of(cls, values_N: NDArray[np.float32]) -> "Ranked":
        edges = np.unique(np.quantile(values_N.astype(np.float64), np.linspace(0, 1, BINS + 1)))
        return cls(edges, np.clip(np.searchsorted(edges, values_N, side="right") - 1, 0, len(edges) - 1))

    def best_interval(self, is_class_N: NDArray[np.bool_]) -> Interval:
        """Over all pairs of edges, by running sums of hits and false alarms."""
        hits = np.concatenate([[0], np.cumsum(np.bincount(self.bin_N[is_class_N], minlength=len(self.edges)))])
        alarms = np.concatenate([[0], np.cumsum(np.bincount(self.bin_N[~is_class_N], minlength=len(self.edges)))])
        true_positive = hits[None, :] - hits[:, None]
        false_positive = alarms[None, :] - alarms[:, None]
        iou = np.where(true_positive > 0, true_positive / np.maximum(hits[-1] + false_positive, 1), 0)
        start, stop = (int(place) for place in np.unravel_index(int(np.argmax(iou)), iou.shape))
        above = np.append(self.edges, np.inf)
        return Interval(float(above[start]), float(above[stop]), float(iou[start, stop]))


def best_interval(values_N: NDArray[np.float32], is_class_N: NDArray[np.bool_]) -> Interval:
    """The interval of values with the highest IoU, over all pairs of 400 quantiles of the values."""
    return Ranked.of(values_N).best_interval(is_class_N)


def one_band_table(scenes: Sequence[Scene], n_classes: int) -> NDArray[np.float64]:
    """Classes x bands: IoU of the best interval, fitted on all pixels of all scenes at once."""
    label = np.concatenate([scene.label_HW.ravel() for scene in scenes])
    table = np.zeros((n_classes, len(scenes[0].raster.bands)))
    for band in range(table.shape[1]):
        values = np.concatenate([scene.raster.pixels_CHW[band].ravel() for scene in scenes])
        valid = np.concatenate([scene.raster.valid_CHW[band].ravel() for scene in scenes]) & (label != IGNORE)
        ranked = Ranked.of(values[valid])
        for k in range(n_classes):
            table[k, band] = ranked.best_interval(label[valid] == k).iou
    return table
