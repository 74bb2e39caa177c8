"""The way in: picks the reader by the kind of file, and puts several files of one image together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from sensam.data.raster import Raster, RasterInfo, Window
from sensam.data.readers import gdal, numpy_files
from sensam.data.readers.arrays import ArrayFile, Axes
from sensam.data.readers.selection import Bands
from sensam.data.readers.stack import Stack, label_files
from sensam.errors import InputError, SettingsError
from sensam.radiometry import Match
from sensam.sensors import Sensor

PathLike = str | Path
Source = PathLike | Sequence[PathLike] | Mapping[str, PathLike | Sequence[PathLike]]

NUMPY = (".npy", ".npz")
MATLAB = (".mat",)
HDF5 = (".h5", ".hdf5", ".he5", ".nc", ".nc4", ".cdf")


def open_raster(
    source: Source,
    *,
    bands: Bands = None,
    window: Window | None = None,
    key: str | None = None,
    axes: Axes | None = None,
) -> Raster:
    """Read an image as it is stored; `Sensor.decode` is the step that makes it physical.

    `source` is a file, several files that are stacked, or a mapping from instrument to file(s). `bands` are names as
    `describe` gives them, or positions from 0; `window` is (row, column, height, width). `key` names an array, or
    `group/variable`, in a file that holds several; `axes` says where a bare array has its bands.
    """
    if isinstance(source, str | Path):
        path = str(source)
        if not _holds_arrays(path):
            _refuse_array_options(path, key, axes)
            return gdal.read(path, bands=bands, window=window)
        with _arrays(path, key) as (file, name):
            return file.read(bands, window, name, axes)
    parts = _parts(source)
    return _stack(parts, key, axes).read(
        bands,
        lambda label, wanted: open_raster(
            parts[label], bands=wanted, window=window, **_options(parts[label], key, axes)
        ),
    )


def describe(source: Source, *, key: str | None = None, axes: Axes | None = None) -> RasterInfo:
    """Bands, size, type, place and wavelengths of an image, without reading a pixel."""
    if isinstance(source, str | Path):
        path = str(source)
        if not _holds_arrays(path):
            _refuse_array_options(path, key, axes)
            return gdal.describe(path)
        with _arrays(path, key) as (file, name):
            return file.describe(name, axes)
    return _stack(_parts(source), key, axes).describe()


def read_image(
    source: Source,
    sensor: Sensor,
    found: Match,
    *,
    window: Window | None = None,
    key: str | None = None,
    axes: Axes | None = None,
) -> Raster:
    """The sensor's bands in physical units, from a source that `match` has compared with the sensor."""
    stored = open_raster(source, bands=found.bands, window=window, key=key, axes=axes)
    return sensor.decode(stored.renamed(sensor.band_names))


def _holds_arrays(path: str) -> bool:
    return path.lower().endswith((*NUMPY, *MATLAB, *HDF5))


@contextmanager
def _arrays(path: str, key: str | None) -> Iterator[tuple[ArrayFile, str | None]]:
    """The arrays of a file, and the name of the wanted one once its group is opened."""
    # xarray and scipy.io take seconds to import: who reads pictures shall not wait for them.
    if path.lower().endswith(HDF5):
        from sensam.data.readers import netcdf

        group, _, name = (key or "").strip("/").rpartition("/")
        if key is not None and key.endswith("/"):
            group, name = key.strip("/"), ""
        with netcdf.opened(path, group or None) as file:
            yield file, name or None
    elif path.lower().endswith(MATLAB):
        from sensam.data.readers import matlab

        with matlab.opened(path) as file:
            yield file, key
    else:
        with numpy_files.opened(path) as file:
            yield file, key


def _refuse_array_options(path: str, key: str | None, axes: Axes | None) -> None:
    if key is not None or axes is not None:
        raise SettingsError(f"{path} is an image whose bands are known: leave out key and axes.")


class _Options(TypedDict, total=False):
    key: str | None
    axes: Axes | None


def _options(part: Source, key: str | None, axes: Axes | None) -> _Options:
    """What is said of arrays does not concern the pictures beside them."""
    is_picture = isinstance(part, str | Path) and not _holds_arrays(str(part))
    return {} if is_picture else {"key": key, "axes": axes}


def _stack(parts: Mapping[str, Source], key: str | None, axes: Axes | None) -> Stack:
    return Stack.of({label: describe(part, **_options(part, key, axes)) for label, part in parts.items()})


def _parts(source: Sequence[PathLike] | Mapping[str, PathLike | Sequence[PathLike]]) -> dict[str, Source]:
    if not source:
        raise InputError("No file was given for the image.")
    if isinstance(source, Mapping):
        return dict(source)
    paths = [str(path) for path in source]
    return dict(zip(label_files(paths), paths, strict=True))
