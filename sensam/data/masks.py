"""Mask files as they are stored: whole numbers in their own type, a palette's colours, an array inside a file."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.layout import FilesSpec, LabelSpec
from sensam.data.native import ARRAY_SUFFIXES, area_to_read, kept_open
from sensam.data.raster import RasterInfo, Window
from sensam.data.readers import open_raster
from sensam.data.resample import resample_linear, resample_nearest
from sensam.data.sources import Version, describe_once, version_of
from sensam.errors import InputError


def read_mask(
    path: Path, files: FilesSpec, label: LabelSpec, *, size: tuple[int, int], window: Window | None = None
) -> tuple[NDArray[Any], float | None]:
    """Stored numbers (bands x rows x columns) of a mask that belongs to an image of this size, and its nodata value.

    For label: palette the colours of a PNG's palette are looked up; otherwise its index stays an index.
    """
    version = version_of(path)
    info = describe_once(path, files.variable, files.axes, version)
    read = partial(_read, path, files, info, version, colours=label.codec == "palette")
    if info.size == size:
        return read(window)
    if label.stretch is None:
        raise InputError(
            f"{path} has {info.height} x {info.width} pixels, its image has {size[0]} x {size[1]}. "
            "Cut both alike, or set label.stretch: nearest if they show the same ground."
        )
    stored_CHW, nodata = read(None)
    stretch = resample_nearest if label.stretch == "nearest" else _stretch_linear
    return _cut(stretch(stored_CHW, *size), window), nodata


def _stretch_linear(stored_CHW: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    return np.rint(resample_linear(stored_CHW, None, rows, columns)).astype(np.int64)


def _read(
    path: Path, files: FilesSpec, info: RasterInfo, version: Version, window: Window | None, *, colours: bool
) -> tuple[NDArray[Any], float | None]:
    if path.suffix.lower() in ARRAY_SUFFIXES:
        raster = open_raster(path, window=window, key=files.variable, axes=files.axes)
        return np.where(raster.valid_CHW, raster.pixels_CHW, np.nan), None
    with kept_open(path, version) as dataset:
        stored_CHW = dataset.read(window=area_to_read(window, dataset.shape))
        if not colours or dataset.count != 1:
            return stored_CHW, info.nodata[0]
        return _looked_up(stored_CHW[0], dataset, path), None


def _looked_up(index_HW: NDArray[Any], dataset: Any, path: Path) -> NDArray[Any]:
    """The colours that a palette gives to indices."""
    try:
        table = dataset.colormap(1)
    except ValueError as error:
        raise InputError(f"{path} has one band and no palette. Set label: index, or give masks of colours.") from error
    colour_of = np.zeros((max(table) + 1, 3), np.uint8)
    for index, colour in table.items():
        colour_of[index] = colour[:3]
    return np.moveaxis(colour_of[index_HW], -1, 0)


def _cut(stored_CHW: NDArray[Any], window: Window | None) -> NDArray[Any]:
    if window is None:
        return stored_CHW
    row, column, rows, columns = window
    return stored_CHW[:, row : row + rows, column : column + columns]
