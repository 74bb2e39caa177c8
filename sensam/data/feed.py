"""One window of one sample as stored, with its validity and the straight line that will normalise it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.acceptance import Judge, judge_of, judge_planes
from sensam.data.dataset import Dataset
from sensam.data.native import Planes, plain_planes, read_planes
from sensam.data.pairing import Item
from sensam.data.raster import Scaling, Window
from sensam.data.sources import Version, version_of


@dataclass(frozen=True, slots=True)
class Portion:
    """normalised = stored * gain + bias, wherever valid. Integers stay integers: four times less to move about."""

    stored_CHW: NDArray[Any]
    valid_CHW: NDArray[np.bool_] | None  # None where everything is valid
    gain_C: NDArray[np.float32]
    bias_C: NDArray[np.float32]


Line = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FastWay:
    """All that reading a file as it lies needs to know of it, found once."""

    planes: Planes
    judges: list[Judge]
    line: Line


class Feed:
    """Portions of a data set's samples."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._ways: dict[Path, tuple[Version, FastWay | None]] = {}
        self._judges_of: dict[tuple[str, Planes], list[Judge]] = {}
        self._line_of: dict[tuple[Scaling | None, ...], Line] = {}

    def portion(self, item: Item, window: Window | None) -> Portion:
        """One window; rows and columns count from the sample's part of the scene."""
        path = item.images[0]
        version = version_of(path)
        known, way = self._ways.get(path, (None, None))
        if known != version:
            way = self._way(item, version)
            self._ways[path] = version, way
        if way is None:
            return self._careful(item, window)
        stored_CHW = read_planes(path, way.planes, self.dataset.within(item, window), version)
        judged = judge_planes(way.judges, stored_CHW)
        valid_CHW = None
        if any(plane is not None for plane in judged):
            whole = np.ones(stored_CHW.shape[1:], bool)
            valid_CHW = np.stack([whole if plane is None else plane for plane in judged])
        return Portion(stored_CHW, valid_CHW, *way.line)

    def _way(self, item: Item, version: Version) -> FastWay | None:
        """The fast way, for samples that lie in one file of an exact type."""
        source = self.dataset.source(item)
        files, *others = self.dataset.spec.images.values()
        if others or files.unpack or files.variable or files.stretch or self.dataset.encodes:
            return None
        planes = plain_planes(item.images[0], source.planes, files.axes, version)
        if planes is None:
            return None
        return FastWay(planes, self._judges(source.info.dtypes[0], planes), self._line(planes.scaling))

    def _judges(self, dtype: str, planes: Planes) -> list[Judge]:
        """What tells the valid pixels of each band, made once for each kind of file."""
        if (dtype, planes) not in self._judges_of:
            facts = zip(self.dataset.sensor.bands, planes.nodata, planes.scaling, strict=True)
            self._judges_of[dtype, planes] = [judge_of(band, dtype, nodata, stated) for band, nodata, stated in facts]
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
