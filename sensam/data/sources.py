"""From the files of one sample to the sensor's bands: one file or several instruments, matched by name or by order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from sensam.data.layout import DatasetSpec, FilesSpec
from sensam.data.raster import Raster, RasterInfo, Window
from sensam.data.readers import describe, open_raster
from sensam.data.readers.arrays import Axes
from sensam.data.readers.stack import Stack
from sensam.errors import InputError
from sensam.radiometry import match
from sensam.sensors import Sensor

Version = tuple[int, int]
PACKED_BANDS = 3


def describe_once(
    path: Path, key: str | None = None, axes: Axes | None = None, version: Version | None = None
) -> RasterInfo:
    """`describe`, remembered for as long as the file stays the same."""
    return _describe(path, key, axes, version or version_of(path))


@lru_cache(maxsize=1 << 14)
def _describe(path: Path, key: str | None, axes: Axes | None, _version: Version) -> RasterInfo:
    return describe(path, key=key, axes=axes)


def version_of(path: Path) -> Version:
    """What changes when a file is written again: its time and its length.

    Who asks several things about a file at once finds this out once, and hands it on.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    return facts.st_mtime_ns, facts.st_size


@dataclass(frozen=True, slots=True)
class Source:
    """The files of one sample, and the planes in them that are the sensor's bands."""

    paths: Mapping[str, Path]  # by instrument
    info: RasterInfo  # of all instruments together
    planes: tuple[str, ...]


class Sources:
    """Finds and reads the sensor's bands in the files of any sample of a data set."""

    def __init__(self, spec: DatasetSpec, fed: Sensor) -> None:
        self.spec = spec
        self.fed = fed
        self._found: dict[tuple[Path, ...], Source] = {}

    def find(self, paths: tuple[Path, ...]) -> Source:
        """Which planes of the files are the sensor's bands; an error where that cannot be known."""
        if paths not in self._found:
            by_name = dict(zip(self.spec.images, paths, strict=True))
            (name, path), *others = by_name.items()
            info = self._stack(by_name).describe() if others else self._describe(name, path)
            self._found[paths] = Source(by_name, info, self._planes(info))
        return self._found[paths]

    def read(self, paths: tuple[Path, ...], window: Window | None) -> Raster:
        """Stored numbers of the sensor's bands."""
        source = self.find(paths)
        (name, path), *others = source.paths.items()
        if others:
            raster = self._stack(source.paths).read(
                source.planes, lambda name, wanted: self._read(name, source.paths[name], wanted, window)
            )
        else:
            raster = self._read(name, path, source.planes, window)
        return raster.renamed(self.fed.band_names)

    def _stack(self, paths: Mapping[str, Path]) -> Stack:
        return Stack.of({name: self._describe(name, path) for name, path in paths.items()})

    def _describe(self, instrument: str, path: Path) -> RasterInfo:
        files = self.spec.images[instrument]
        info = describe_once(path, files.variable, files.axes)
        info = info if files.stretch is None else files.stretch.describe(info)
        return info if files.unpack is None else _described_unpacked(info, instrument)

    def _read(self, instrument: str, path: Path, planes: Sequence[str], window: Window | None) -> Raster:
        files = self.spec.images[instrument]
        if files.stretch is not None:
            stored = files.stretch.planes(planes)
            return files.stretch.apply(
                open_raster(path, bands=stored, window=window, key=files.variable, axes=files.axes)
            )
        if files.unpack is None:
            return open_raster(path, bands=planes, window=window, key=files.variable, axes=files.axes)
        return _unpacked(open_raster(path, window=window), files, instrument)

    def _planes(self, info: RasterInfo) -> tuple[str, ...]:
        """All of the sensor's bands if the file has them, else at least those that are fed."""
        full = self.spec.sensor
        try:
            found = dict(zip(full.band_names, match(full, info).bands, strict=True))
            return tuple(found[name] for name in self.fed.band_names)
        except InputError as refusal:
            if self.fed.band_names == full.band_names or not info.has_names:
                raise
            try:
                return match(self.fed, info).bands
            except InputError:
                raise refusal from None  # the file speaks of the whole sensor or of nothing


def _described_unpacked(info: RasterInfo, instrument: str) -> RasterInfo:
    if len(info.bands) != PACKED_BANDS:
        raise InputError(f"{info.name} has {len(info.bands)} bands; 24 bits are packed in red, green and blue.")
    return replace(
        info,
        bands=(instrument,),
        dtypes=("float32",),
        wavelengths_nm=(None,),
        nodata=(None,),
        descriptions=("",),
        units=("",),
        scaling=(None,),
        has_names=False,
    )


def _unpacked(raster: Raster, files: FilesSpec, instrument: str) -> Raster:
    """One number from three bytes; float32 holds 24 bits exactly."""
    red, green, blue = raster.pixels_CHW.astype(np.float64)
    value_HW = (red + 256 * green + 65536 * blue) * files.scale
    value_HW = np.log1p(value_HW) if files.log1p else value_HW
    return replace(
        raster,
        pixels_CHW=value_HW.astype(np.float32)[None],
        valid_CHW=raster.valid_HW[None],
        bands=(instrument,),
        scaling=(None,),
    )
