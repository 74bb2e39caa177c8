"""Mean, deviation, range and percentiles of every band, gathered chunk by chunk and merged exactly."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.layout import BandStatistics
from sensam.data.raster import Scaling

PERCENTILES = (1.0, 2.0, 25.0, 50.0, 75.0, 98.0, 99.0)
_BUCKETS = 1 << 16


@dataclass(slots=True)
class Moments:
    """Count, mean, squared deviations and range of the numbers seen so far, in float64."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared deviations from the mean
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, values_P: NDArray[Any]) -> "Moments":
        """The moments of these numbers."""
        if not values_P.size:
            return cls()
        values = values_P.astype(np.float64, copy=False)
        mean = float(values.mean())
        return cls(values.size, mean, float(np.square(values - mean).sum()), float(values.min()), float(values.max()))

    def merge(self, other: "Moments") -> None:
        """Take in what another counted (Chan, Golub and LeVeque): no loss where variance is small beside the mean."""
        if other.count == 0:
            return
        total = self.count + other.count
        gap = other.mean - self.mean
        self.mean += gap * other.count / total
        self.squares += other.squares + gap * gap * self.count * other.count / total
        self.count = total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def std(self) -> float:
        """Standard deviation of the population."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0


class Ranks:
    """Counts that answer percentiles: exact for whole numbers of 16 bits, within 1/256 of the value for others.

    Other numbers are counted by the first 16 bits of their float32 form, whose order is the order of the values.
    """

    def __init__(self) -> None:
        self._whole: NDArray[np.int64] | None = None  # of -65536 and up; made when the first whole number comes
        self._parts: NDArray[np.int64] | None = None
        self._low, self._high = np.inf, -np.inf

    def add(self, values_P: NDArray[np.float32]) -> None:
        """Take in more numbers."""
        if not values_P.size:
            return
        self._low, self._high = min(self._low, float(values_P.min())), max(self._high, float(values_P.max()))
        if self._parts is None and self._low >= -_BUCKETS and self._high < _BUCKETS:
            whole = values_P.astype(np.int32)
            if np.array_equal(whole, values_P):
                counts = np.bincount(whole + _BUCKETS, minlength=2 * _BUCKETS)
                self._whole = counts if self._whole is None else self._whole + counts
                return
        counts = np.bincount(_bucket(values_P), minlength=_BUCKETS)
        if self._whole is not None:  # from here on whole numbers are counted as all others
            seen = np.flatnonzero(self._whole)
            np.add.at(counts, _bucket((seen - _BUCKETS).astype(np.float32)), self._whole[seen])
            self._whole = None
        self._parts = counts if self._parts is None else self._parts + counts

    @property
    def distinct_whole(self) -> int | None:
        """How many different numbers were seen, if all were whole."""
        return None if self._whole is None else int(np.count_nonzero(self._whole))

    def percentiles(self, wanted: Iterable[float]) -> list[float]:
        """Values below which the wanted parts (in percent) lie, interpolated as numpy does."""
        counts, edges = self._counted()
        return [self._at(counts, edges, part / 100) for part in wanted]

    def _counted(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts, and the lowest and highest value of each bucket."""
        if self._parts is not None:
            seen = np.flatnonzero(self._parts)
            low, high = _edge(seen), _edge(seen + 1)
            edges = np.clip(np.stack([np.minimum(low, high), np.maximum(low, high)]), self._low, self._high)
            return self._parts[seen], edges
        counts = np.zeros(0, np.int64) if self._whole is None else self._whole
        seen = np.flatnonzero(counts)
        values = (seen - _BUCKETS).astype(np.float64)
        return counts[seen], np.stack([values, values])

    @staticmethod
    def _at(counts: NDArray[np.int64], edges: NDArray[np.float64], part: float) -> float:
        if not counts.size:
            return float("nan")
        ends = np.cumsum(counts)
        rank = part * float(ends[-1] - 1)
        neighbours = [_value_at(rank_, counts, ends, edges) for rank_ in (int(np.floor(rank)), int(np.ceil(rank)))]
        return neighbours[0] + (neighbours[1] - neighbours[0]) * (rank - np.floor(rank))


def _value_at(rank: int, counts: NDArray[np.int64], ends: NDArray[np.int64], edges: NDArray[np.float64]) -> float:
    bucket = int(np.searchsorted(ends, rank, side="right"))
    inside = (rank - (ends[bucket] - counts[bucket]) + 0.5) / counts[bucket]
    return float(edges[0, bucket] + (edges[1, bucket] - edges[0, bucket]) * inside)


def _bucket(values_P: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first 16 bits of a float32, turned so that their order is that of the values."""
    bits = (values_P + np.float32(0)).view(np.uint32)  # + 0 makes -0 and 0 the same
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.asarray(ordered >> 16).astype(np.int64)


def _edge(bucket: NDArray[np.int64]) -> NDArray[np.float64]:
    ordered = (bucket.astype(np.uint64) << 16).clip(0, 0xFFFFFFFF).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    with np.errstate(invalid="ignore"):
        edge = np.nan_to_num(bits.astype(np.uint32).view(np.float32).astype(np.float64))
    return np.where(np.abs(edge) < np.finfo(np.float32).tiny, 0.0, edge)  # so that the bucket of 0 is just 0


class BandGatherer:
    """Statistics of one band while its pixels stream by: stored numbers come in, physical values come out."""

    def __init__(self) -> None:
        self.moments = Moments()  # of physical values
        self.ranks = Ranks()  # of stored numbers, because whole ones are counted exactly
        self._packing: Scaling | None = None

    def add(self, stored_P: NDArray[np.float32], packing: Scaling = (1.0, 0.0)) -> Moments:
        """Take in valid stored numbers v that mean v * scale + offset; returns the moments of these alone."""
        scale, offset = packing
        moments = Moments.of(stored_P.astype(np.float64) * scale + offset)
        if not stored_P.size:
            return moments
        self._packing = self._packing or packing
        self.moments.merge(moments)
        if packing != self._packing:  # another file was packed otherwise: count in the units of the first
            first_scale, first_offset = self._packing
            stored_P = ((stored_P.astype(np.float64) * scale + offset - first_offset) / first_scale).astype(np.float32)
        self.ranks.add(stored_P)
        return moments

    def percentiles(self, wanted: Iterable[float]) -> list[float]:
        """Physical values below which the wanted parts (in percent) lie."""
        scale, offset = self._packing or (1.0, 0.0)
        parts = wanted if scale > 0 else [100 - part for part in wanted]
        return [value * scale + offset for value in self.ranks.percentiles(parts)]

    def summary(self) -> BandStatistics | None:
        """What goes into dataset.yaml; None where no valid pixel was seen."""
        if self.moments.count == 0:
            return None
        found = self.percentiles(PERCENTILES)
        return BandStatistics(
            mean=self.moments.mean,
            std=self.moments.std,
            min=self.moments.low,
            max=self.moments.high,
            percentiles={f"p{part:g}": value for part, value in zip(PERCENTILES, found, strict=True)},
            pixels=self.moments.count,
        )
