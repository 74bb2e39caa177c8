"""From any file to a Raster of stored numbers: `describe` without reading a pixel, `open_raster` with windows."""

from collections.abc import Sequence
from pathlib import Path

from sensam.data.raster import Raster, RasterInfo, Window
from sensam.data.readers import gdal
from sensam.data.readers.selection import Bands
from sensam.errors import InputError

__all__ = ["describe", "open_raster"]


def open_raster(
    path_or_paths: str | Path | Sequence[str | Path], *, bands: Bands = None, window: Window | None = None
) -> Raster:
    """Read an image as it is stored; `Sensor.decode` is the step that makes it physical."""
    return gdal.read(str(_only(path_or_paths)), bands=bands, window=window)


def describe(path_or_paths: str | Path | Sequence[str | Path]) -> RasterInfo:
    """Bands, size, type, place and wavelengths of an image, without reading a pixel."""
    return gdal.describe(str(_only(path_or_paths)))


def _only(path_or_paths: str | Path | Sequence[str | Path]) -> str | Path:
    if isinstance(path_or_paths, str | Path):
        return path_or_paths
    if len(path_or_paths) != 1:
        raise InputError("Several files for one image cannot be stacked yet.")
    return path_or_paths[0]
