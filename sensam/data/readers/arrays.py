"""Arrays in files to rasters: which array, which axis holds the bands, which window; never by a silent guess."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Raster, RasterInfo, Scaling, Window, shifted
from sensam.data.readers.exact import differs_from, to_float32
from sensam.data.readers.selection import Bands, check_window, choose
from sensam.errors import InputError, SettingsError, unknown

Axes = Literal["HW", "HWC", "CHW"]
CLEARLY_FEWER = 4  # bands are told from rows and columns when there are this many times fewer of them


@dataclass(frozen=True, slots=True)
class StoredArray:
    """One array in a file: its shape, and a way to read a part of it."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[tuple[slice, ...]], NDArray[Any]]
    axes: Axes | None = None  # where the file says so
    nodata: tuple[float, ...] = ()
    scaling: Scaling | None = None
    unit: str = ""
    bands: tuple[str, ...] = ()  # names along its band axis, where the file has them
    wavelengths_nm: tuple[float | None, ...] = ()  # along its band axis, or of itself
    crs: Any = None
    transform: Any = None


@dataclass(frozen=True, slots=True)
class Plane:
    """One band as we offer it, and where it lies."""

    name: str
    array: StoredArray
    axes: Axes
    position: int = 0
    part: str = "value"  # or "real", "imag" of a complex number
    is_named: bool = False

    @property
    def size(self) -> tuple[int, int]:
        shape = self.array.shape
        return (shape[1], shape[2]) if self.axes == "CHW" else (shape[0], shape[1])

    @property
    def wavelength_nm(self) -> float | None:
        return self.array.wavelengths_nm[self.position] if self.array.wavelengths_nm else None


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """What one file offers."""

    name: str
    arrays: tuple[StoredArray, ...]

    def describe(self, key: str | None = None, axes: Axes | None = None) -> RasterInfo:
        """Facts, without reading a pixel."""
        planes = self._planes(self._candidates(key), axes)
        height, width = planes[0].size
        return RasterInfo(
            name=self.name,
            bands=tuple(plane.name for plane in planes),
            height=height,
            width=width,
            dtypes=tuple(plane.array.dtype.name for plane in planes),
            crs=planes[0].array.crs,
            transform=planes[0].array.transform,
            wavelengths_nm=tuple(plane.wavelength_nm for plane in planes),
            nodata=tuple(next(iter(plane.array.nodata), None) for plane in planes),
            descriptions=tuple(plane.name if plane.is_named else "" for plane in planes),
            units=tuple(plane.array.unit for plane in planes),
            scaling=tuple(plane.array.scaling for plane in planes),
            has_names=any(plane.is_named for plane in planes),
        )

    def read(
        self, bands: Bands = None, window: Window | None = None, key: str | None = None, axes: Axes | None = None
    ) -> Raster:
        """Stored numbers of the wanted bands inside the window."""
        planes = self._planes(self._candidates(key, bands), axes)
        by_name = {plane.name: plane for plane in planes}
        chosen = [by_name[name] for name in choose(bands, list(by_name), self.name)]
        area = check_window(window, *chosen[0].size, self.name)
        pixels, valid = _load(chosen, area, self.name)
        return Raster(
            pixels,
            valid,
            tuple(plane.name for plane in chosen),
            chosen[0].array.crs,
            shifted(chosen[0].array.transform, area),
            is_decoded=False,
            scaling=tuple(plane.array.scaling for plane in chosen),
        )

    def _candidates(self, key: str | None, bands: Bands = None) -> list[StoredArray]:
        """The one array with this key; else those the bands name; else the only one, or all of one size as bands."""
        images = [array for array in self.arrays if _could_be_image(array)]
        if key is not None:
            fitting = [array for array in self.arrays if array.name == key]
            if not fitting:
                raise unknown(f"array in {self.name}", key, [array.name for array in self.arrays])
            return fitting
        flat = {array.name: array for array in images if len(array.shape) == 2}
        if bands is not None and all(isinstance(band, str) and band in flat for band in bands):
            images = [flat[str(band)] for band in bands]
        if not images:
            raise InputError(f"{self.name} holds no image: no array of numbers has rows and columns.")
        if len(images) == 1 or (len(flat) == len(images) and len({array.shape for array in images}) == 1):
            return images
        held = ", ".join(f"{array.name} ({' x '.join(map(str, array.shape))})" for array in images)
        raise InputError(
            f"{self.name} holds {held}. Say which one is the image, with key (in a dataset.yaml: variable)."
        )

    def _planes(self, arrays: Sequence[StoredArray], axes: Axes | None) -> list[Plane]:
        planes = []
        for array in arrays:
            settled = settle_axes(array, axes, self.name)
            count = 1 if settled == "HW" else array.shape[0] if settled == "CHW" else array.shape[2]
            names, named = _names(array, settled, count)
            for position, name in enumerate(names):
                if array.dtype.kind == "c":
                    parts = [(f"{name}.{part}", part) for part in ("real", "imag")]
                else:
                    parts = [(name, "value")]
                planes += [Plane(full, array, settled, position, part, named) for full, part in parts]
        return planes


def settle_axes(array: StoredArray, axes: Axes | None, name: str) -> Axes:
    """Which axis holds the bands: as asked, as the file says, or where one is clearly shorter than the image."""
    shape = array.shape
    text = f"{array.name} in {name} has shape {' x '.join(map(str, shape))}"
    if len(shape) not in (2, 3):
        raise InputError(f"{text}. An image has rows and columns, and perhaps bands.")
    if axes is not None:
        if len(axes) != len(shape):
            raise SettingsError(f"{text}, which is not {axes}.")
        return axes
    if array.axes is not None or len(shape) == 2:
        return array.axes or "HW"
    first, middle, last = shape
    if first * CLEARLY_FEWER <= min(middle, last):
        return "CHW"
    if last * CLEARLY_FEWER <= min(first, middle):
        return "HWC"
    raise InputError(f"{text}. Say where its bands are: axes HWC (last) or CHW (first).")


def _could_be_image(array: StoredArray) -> bool:
    return array.dtype.kind in "buifc" and len(array.shape) in (2, 3) and sorted(array.shape)[-2] > 1


def _names(array: StoredArray, axes: Axes, count: int) -> tuple[Sequence[str], bool]:
    if axes == "HW":
        return [array.name or "band_0"], bool(array.name)
    if len(set(array.bands)) == count:
        return array.bands, True
    return [f"band_{position}" for position in range(count)], False


def _load(planes: Sequence[Plane], window: Window, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pixels and validity of planes; an array that holds several of them is read once."""
    height, width = window[2:]
    pixels = np.empty((len(planes), height, width), np.float32)
    valid = np.empty(pixels.shape, bool)
    for array in {id(plane.array): plane.array for plane in planes}.values():
        rows = [row for row, plane in enumerate(planes) if plane.array is array]
        stored_CHW, first = _slab([planes[row] for row in rows], window)
        for row in rows:
            stored = stored_CHW[planes[row].position - first]
            numbers = stored if planes[row].part == "value" else getattr(stored, planes[row].part)
            there = np.ones(numbers.shape, bool)
            for nodata in array.nodata:
                there &= differs_from(stored, nodata)
            pixels[row] = to_float32(numbers, there, name)
            valid[row] = there & np.isfinite(pixels[row])
    return pixels, valid


def _slab(planes: Sequence[Plane], window: Window) -> tuple[NDArray[Any], int]:
    """One contiguous read that covers the planes of one array, bands first, and the band it begins with."""
    row, col, height, width = window
    area = slice(row, row + height), slice(col, col + width)
    load, axes = planes[0].array.load, planes[0].axes
    if axes == "HW":
        return load(area)[None], 0
    first = min(plane.position for plane in planes)
    bands = slice(first, max(plane.position for plane in planes) + 1)
    if axes == "CHW":
        return load((bands, *area)), first
    return np.moveaxis(load((*area, bands)), -1, 0), first
