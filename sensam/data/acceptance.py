"""Which stored numbers are valid: judged by a plane's extremes wherever these settle it, as `Band.decode` would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Scaling
from sensam.sensors import Band

Valid = NDArray[np.bool_] | None  # None where all are valid
Judge = Callable[[NDArray[Any], Any, Any], Valid]  # of a plane, its lowest and its highest number


def judge_planes(judges: Sequence[Judge], stored_CHW: NDArray[Any]) -> list[Valid]:
    """Validity of every plane, each by its own judge."""
    low_C, high_C = stored_CHW.min(axis=(1, 2)).tolist(), stored_CHW.max(axis=(1, 2)).tolist()
    facts = zip(judges, stored_CHW, low_C, high_C, strict=True)
    return [judge(stored_HW, low, high) for judge, stored_HW, low, high in facts]


def judge_of(band: Band, dtype: str, nodata: float | None, stated: Scaling | None) -> Judge:
    """The judge of a band in files of one kind: what they call nodata, and the scaling that they state."""
    if dtype == "float32":
        marks = tuple(float(np.float32(mark)) for mark in (nodata, band.nodata) if mark is not None)
        return partial(_judge_floats, band, marks, nodata, stated)
    return accepted_integers(band, dtype, nodata, stated).judge


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which integers of a type are valid numbers of a band: those from low to high, but for a few."""

    low: int
    high: int
    holes: tuple[int, ...]

    def judge(self, stored_HW: NDArray[Any], low: int, high: int) -> Valid:
        """Validity of every pixel, None where all are valid; most often the extremes settle it."""
        inside = self.low <= low and high <= self.high
        holes = [hole for hole in self.holes if low <= hole <= high]
        if inside and not holes:
            return None
        valid_HW = np.ones(stored_HW.shape, bool) if inside else (stored_HW >= self.low) & (stored_HW <= self.high)
        for hole in holes:
            valid_HW &= stored_HW != hole
        return valid_HW


def accepted_integers(band: Band, dtype: str, nodata: float | None, stated: Scaling | None) -> Acceptance:
    """Found by asking the band about every number of the type, so that it cannot differ from `Band.decode`."""
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1, dtype=np.int64)
    _, valid = band.decode(every.astype(np.float32), np.ones(every.shape, bool), stated)
    if nodata is not None:
        valid &= every != nodata
    good = every[valid]
    if not good.size:
        return Acceptance(1, 0, ())
    low, high = int(good[0]), int(good[-1])
    holes = every[~valid & (every > low) & (every < high)]
    return Acceptance(low, high, tuple(holes.tolist()))


def _judge_floats(
    band: Band,
    marks: tuple[float, ...],
    nodata: float | None,
    stated: Scaling | None,
    stored_HW: NDArray[np.float32],
    low: float,
    high: float,
) -> Valid:
    """Validity of every pixel, None where all are valid; the extremes settle it unless something is wrong.

    `marks` are the numbers that stand for no data; extremes are NaN where any pixel is.
    """
    if isfinite(low) and isfinite(high) and not any(low <= mark <= high for mark in marks):
        if band.valid_range is None:
            return None
        ends = np.array([low, high], np.float32)
        if band.decode(ends, np.ones(2, bool), stated)[1].all():
            return None
    present_HW = np.ones(stored_HW.shape, bool) if nodata is None else np.asarray(stored_HW != np.float32(nodata))
    return band.decode(stored_HW, present_HW, stated)[1]
