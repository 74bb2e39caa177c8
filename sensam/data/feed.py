"""One window of one sample as stored, with its validity and the straight line that will normalise it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.dataset import Dataset
from sensam.data.native import Planes, plain_planes, read_planes
from sensam.data.pairing import Item
from sensam.data.raster import Scaling, Window
from sensam.data.sources import Version, version_of
from sensam.sensors import Band


@dataclass(frozen=True, slots=True)
class Portion:
    """normalised = stored * gain + bias, wherever valid. Integers stay integers: four times less to move about."""

    stored_CHW: NDArray[Any]
    valid_CHW: NDArray[np.bool_] | None  # None where everything is valid
    gain_C: NDArray[np.float32]
    bias_C: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which integers of a type are valid numbers of a band: those from low to high, but for a few."""

    low: int
    high: int
    holes: tuple[int, ...]

    def judge(self, stored_HW: NDArray[Any], low: int, high: int) -> NDArray[np.bool_] | None:
        """Validity of every pixel, None where all are valid; most often the extremes settle it."""
        inside = self.low <= low and high <= self.high
        holes = [hole for hole in self.holes if low <= hole <= high]
        if inside and not holes:
            return None
        valid_HW = np.ones(stored_HW.shape, bool) if inside else (stored_HW >= self.low) & (stored_HW <= self.high)
        for hole in holes:
            valid_HW &= stored_HW != hole
        return valid_HW


Line = tuple[NDArray[np.float32], NDArray[np.float32]]
Judge = Callable[[NDArray[Any], Any, Any], NDArray[np.bool_] | None]  # of a plane, its lowest and its highest number


class Feed:
    """Portions of a data set's samples."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._judges_of: dict[tuple[np.dtype[Any], Planes], list[Judge]] = {}
        self._line_of: dict[tuple[Scaling | None, ...], Line] = {}

    def portion(self, item: Item, window: Window | None) -> Portion:
        """One window; rows and columns count from the sample's part of the scene."""
        version = version_of(item.images[0])
        planes = self._planes(item, version)
        if planes is None:
            return self._careful(item, window)
        stored_CHW = read_planes(item.images[0], planes, self.dataset.within(item, window), version)
        extremes = stored_CHW.min(axis=(1, 2)).tolist(), stored_CHW.max(axis=(1, 2)).tolist()
        facts = zip(self._judges(stored_CHW.dtype, planes), stored_CHW, *extremes, strict=True)
        judged = [judge(plane_HW, low, high) for judge, plane_HW, low, high in facts]
        valid_CHW = None
        if any(plane is not None for plane in judged):
            whole = np.ones(stored_CHW.shape[1:], bool)
            valid_CHW = np.stack([whole if plane is None else plane for plane in judged])
        return Portion(stored_CHW, valid_CHW, *self._line(planes.scaling))

    def _planes(self, item: Item, version: Version) -> Planes | None:
        """The fast path, for samples that lie in one file of an exact type."""
        source = self.dataset.source(item)
        files, *others = self.dataset.spec.images.values()
        if others or files.unpack or files.variable or files.stretch or self.dataset.encodes:
            return None
        return plain_planes(item.images[0], source.planes, files.axes, version)

    def _judges(self, dtype: np.dtype[Any], planes: Planes) -> list[Judge]:
        """What tells the valid pixels of each band, made once for each kind of file."""
        if (dtype, planes) not in self._judges_of:
            facts = list(zip(self.dataset.sensor.bands, planes.nodata, planes.scaling, strict=True))
            judges: list[Judge] = []
            for band, nodata, stated in facts:
                if dtype.kind == "f":
                    marks = tuple(float(np.float32(mark)) for mark in (nodata, band.nodata) if mark is not None)
                    judges.append(partial(judge_floats, band, marks, nodata, stated))
                else:
                    judges.append(accepted_integers(band, dtype.name, nodata, stated).judge)
            self._judges_of[dtype, planes] = judges
        return self._judges_of[dtype, planes]

    def _careful(self, item: Item, window: Window | None) -> Portion:
        """Wide types, masks and several instruments: read and decoded as everywhere else."""
        decoded = self.dataset.sensor.decode(self.dataset.read(item, window))
        valid_CHW = None if decoded.valid_CHW.all() else decoded.valid_CHW
        mean_C, std_C = self._statistics
        gain_C, bias_C = (1 / std_C).astype(np.float32), (-mean_C / std_C).astype(np.float32)
        return Portion(decoded.pixels_CHW, valid_CHW, gain_C, bias_C)

    def _line(self, stated: tuple[Scaling | None, ...]) -> Line:
        """Gain and bias of every band, worked out once for each way in which files state theirs."""
        if stated not in self._line_of:
            bands = self.dataset.sensor.bands
            packing = np.array([band.scaling(entry) for band, entry in zip(bands, stated, strict=True)], np.float64)
            mean_C, std_C = self._statistics
            gain_C, bias_C = packing[:, 0] / std_C, (packing[:, 1] - mean_C) / std_C
            self._line_of[stated] = gain_C.astype(np.float32), bias_C.astype(np.float32)
        return self._line_of[stated]

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean_C, std_C = self.dataset.sensor.statistics
        return mean_C.astype(np.float64), std_C.astype(np.float64)


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


def judge_floats(
    band: Band,
    marks: tuple[float, ...],
    nodata: float | None,
    stated: Scaling | None,
    stored_HW: NDArray[np.float32],
    low: float,
    high: float,
) -> NDArray[np.bool_] | None:
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
