"""Scores of panoramas by latitude: every pixel by its part of the sphere, and apart in bands around the horizon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import degrees
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.lens import latitudes, solid_angle
from sensam.errors import InputError, SettingsError

BANDS_DEG = (20.0, 40.0, 90.0)  # upper ends of the bands, as degrees from the horizon
LARGEST_DROP = 0.05  # of a thin class's IoU, before it is worth a warning

Label = NDArray[np.integer[Any]]


@dataclass(eq=False)
class LatitudeScores:
    """Adds up predictions of panoramas: one matrix for all images, plain, by solid angle, and for each band."""

    classes: tuple[str, ...]
    ignore: int = 255
    bands_deg: tuple[float, ...] = BANDS_DEG
    plain_KK: NDArray[np.float64] = field(init=False)
    weighted_KK: NDArray[np.float64] = field(init=False)
    by_band_NKK: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        if list(self.bands_deg) != sorted(set(self.bands_deg)) or not self.bands_deg:
            raise SettingsError(f"Bands of latitude rise from the horizon, such as 20, 40, 90; found {self.bands_deg}.")
        count = len(self.classes)
        self.plain_KK, self.weighted_KK = np.zeros((count, count)), np.zeros((count, count))
        self.by_band_NKK = np.zeros((len(self.bands_deg), count, count))

    def add(self, found_HW: Label, truth_HW: Label) -> None:
        """Count one equirectangular image, whole and around the horizon."""
        if found_HW.shape != truth_HW.shape:
            raise InputError(f"The prediction is {found_HW.shape}, the label {truth_HW.shape}. Bring both to one size.")
        size = (truth_HW.shape[0], truth_HW.shape[1])
        area_H = solid_angle(size).numpy()
        away_H = np.array([abs(degrees(latitude)) for latitude in latitudes(size).tolist()])
        lower = 0.0
        for number, upper in enumerate(self.bands_deg):
            rows = (away_H >= lower) & (away_H < upper)
            self.by_band_NKK[number] += self._count(found_HW[rows], truth_HW[rows])
            lower = upper
        self.plain_KK += self._count(found_HW, truth_HW)
        self.weighted_KK += self._count(found_HW, truth_HW, np.broadcast_to(area_H[:, None], size))

    def _count(
        self, found_HW: Label, truth_HW: Label, weight_HW: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        counted = truth_HW != self.ignore
        count = len(self.classes)
        places = truth_HW[counted].astype(np.int64) * count + found_HW[counted]
        weights = None if weight_HW is None else weight_HW[counted]
        return np.bincount(places, weights, count * count).astype(np.float64).reshape(count, count)

    def report(self) -> dict[str, float]:
        """mIoU plain, by solid angle, and of each band."""
        names = [f"miou {low:g}-{up:g} deg" for low, up in zip((0.0, *self.bands_deg), self.bands_deg, strict=False)]
        bands = {name: labelled_miou(matrix) for name, matrix in zip(names, self.by_band_NKK, strict=True)}
        return {"miou": labelled_miou(self.plain_KK), "miou by solid angle": labelled_miou(self.weighted_KK), **bands}

    def by_class(self) -> dict[str, float]:
        """IoU of each class; NaN for one that no pixel is labelled with."""
        return dict(zip(self.classes, labelled_iou(self.plain_KK).tolist(), strict=True))


def labelled_iou(matrix_KK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each class from labelled (rows) by found; NaN where nothing is labelled so."""
    labelled_K, hit_K = matrix_KK.sum(1), matrix_KK.diagonal()
    union_K = labelled_K + matrix_KK.sum(0) - hit_K
    return np.where(labelled_K > 0, hit_K / np.where(union_K > 0, union_K, 1), np.nan)


def labelled_miou(matrix_KK: NDArray[np.float64]) -> float:
    """Mean IoU over the classes that are labelled somewhere; NaN where there are none."""
    scores = labelled_iou(matrix_KK)
    scores = scores[~np.isnan(scores)]
    return float(scores.mean()) if len(scores) else float("nan")


def lost_thin_classes(
    before: Mapping[str, float], after: Mapping[str, float], thin: Sequence[str], largest: float = LARGEST_DROP
) -> dict[str, float]:
    """Thin classes whose IoU fell by more than `largest`: rectification pays for boundaries with them first."""
    falls = {name: before[name] - after[name] for name in thin if name in before and name in after}
    return {name: fall for name, fall in falls.items() if fall > largest}
