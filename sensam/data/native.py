"""Windows in the file's own type, through files kept open: the loader's fast path, equal to `open_raster`."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from sensam.data.raster import Scaling, Window
from sensam.data.readers.arrays import Axes
from sensam.data.sources import Version, describe_once, version_of
from sensam.errors import InputError

SMALL_INTEGERS = {"uint8", "int8", "uint16", "int16"}
PLAIN_TYPES = SMALL_INTEGERS | {"float32"}
MOST_OPEN = 256  # files per process: every scene, and every tile of a small data set, stays open
ENVI_HEADER = ".hdr"  # the numbers lie in the file beside it
ARRAY_SUFFIXES = {".npy", ".npz", ".mat", ".h5", ".hdf5", ".he5", ".nc", ".nc4"}

_open: OrderedDict[tuple[Path, Version], Any] = OrderedDict()
_owner = os.getpid()


@contextmanager
def kept_open(path: Path, version: Version | None = None) -> Iterator[Any]:
    """The file as a rasterio dataset, opened once per process; a worker process opens its own."""
    global _owner
    if _owner != os.getpid():
        _open.clear()
        _owner = os.getpid()
    key = path, version or version_of(path)
    try:
        if key not in _open:
            # Without this GDAL lists the whole folder for every file it opens, which takes longer than reading a tile.
            with catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
                simplefilter("ignore", NotGeoreferencedWarning)
                _open[key] = DatasetReader(str(path))  # rasterio.open would enter another environment for it
            if len(_open) > MOST_OPEN:
                _open.popitem(last=False)[1].close()
        _open.move_to_end(key)
        yield _open[key]
    except RasterioError as error:
        if key in _open:
            _open.pop(key).close()
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(f"{path} cannot be read ({reason}). If it was copied, it may be cut short.") from error


def close_files() -> None:
    """Let go of every file."""
    while _open:
        _open.popitem()[1].close()


@dataclass(frozen=True, slots=True)
class Planes:
    """Planes of a file that can be taken as they lie: of one exact type, with no mask but nodata."""

    positions: tuple[int, ...]  # counted from 0
    nodata: tuple[float | None, ...]
    scaling: tuple[Scaling | None, ...]
    bands_last: bool = False  # of a memory-mapped array


def plain_planes(
    path: Path, wanted: tuple[str | int, ...], axes: Axes | None = None, version: Version | None = None
) -> Planes | None:
    """How to take the wanted planes directly; None where only the careful reader will do."""
    return _plain_planes(path, wanted, axes, version or version_of(path))


@lru_cache(maxsize=1 << 14)
def _plain_planes(path: Path, wanted: tuple[str | int, ...], axes: Axes | None, version: Version) -> Planes | None:
    info = describe_once(path, axes=axes, version=version)
    if info.has_alpha or len(set(info.dtypes)) != 1 or info.dtypes[0] not in PLAIN_TYPES:
        return None
    positions = tuple(info.bands.index(name) if isinstance(name, str) else name for name in wanted)
    if path.suffix.lower() == ".npy":
        shape = _mapped(path, version).shape
        bands_last = axes == "HWC" or (axes is None and shape == (*info.size, len(info.bands)))
        if not bands_last and shape != (len(info.bands), *info.size):
            return None
        return Planes(positions, (None,) * len(positions), (None,) * len(positions), bands_last)
    if path.suffix.lower() in {*ARRAY_SUFFIXES, ENVI_HEADER} or not _has_only_nodata(path, len(info.bands)):
        return None
    return Planes(
        positions,
        tuple(info.nodata[position] for position in positions),
        tuple(info.scaling[position] for position in positions),
    )


def read_planes(path: Path, planes: Planes, window: Window | None, version: Version | None = None) -> NDArray[Any]:
    """Stored numbers, bands first."""
    version = version or version_of(path)
    if path.suffix.lower() == ".npy":
        return _read_mapped(path, planes, window, version)
    with kept_open(path, version) as dataset:
        bands = [position + 1 for position in planes.positions]
        return np.asarray(dataset.read(bands, window=area_to_read(window, dataset.shape)))


def area_to_read(window: Window | None, shape: tuple[int, int]) -> GdalWindow | None:
    """A window in rasterio's words; None for the whole file, which rasterio reads with less ado."""
    if window is None or window == (0, 0, *shape):
        return None
    row, column, rows, columns = window
    return GdalWindow(column, row, columns, rows)


def _has_only_nodata(path: Path, bands: int) -> bool:
    """No palette, no mask band: what GDAL counts as bands is what we count."""
    with kept_open(path) as dataset:
        usual = {MaskFlags.all_valid, MaskFlags.nodata}
        masked = any(set(flags) - usual for flags in dataset.mask_flag_enums)
        return dataset.count == bands and ColorInterp.palette not in dataset.colorinterp and not masked


@lru_cache(maxsize=MOST_OPEN)
def _mapped(path: Path, _version: Version) -> NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_mapped(path: Path, planes: Planes, window: Window | None, version: Version) -> NDArray[Any]:
    array = _mapped(path, version)
    row, column, rows, columns = window or (0, 0, 1 << 40, 1 << 40)
    area = slice(row, row + rows), slice(column, column + columns)
    if planes.bands_last:
        return np.ascontiguousarray(np.moveaxis(array[area], -1, 0)[list(planes.positions)])
    return np.ascontiguousarray(array[(slice(None), *area)][list(planes.positions)])
