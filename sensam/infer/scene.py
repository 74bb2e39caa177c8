"""A scene as the model sees it: any window, normalised, with what of it is real; read from several threads."""

import threading
import time
from collections.abc import Sequence
from copy import copy
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as GdalWindow

from sensam.data.acceptance import Judge, judge_of, judge_planes
from sensam.data.native import ARRAY_SUFFIXES, ENVI_HEADER, PLAIN_TYPES
from sensam.data.raster import Raster, RasterInfo, Window, shifted
from sensam.data.readers import describe, open_raster
from sensam.errors import InputError
from sensam.infer.locate import Located, is_remote
from sensam.infer.quiet import FILTERING
from sensam.radiometry import Match, match
from sensam.sensors import Sensor, name_key

# A cache that grew with the machine would grow with the scene. The rest makes a poor connection a slow one.
GDAL_OPTIONS = {
    "GDAL_CACHEMAX": 64 * 2**20,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.2",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "VSI_CACHE": "FALSE",
    # That a file could not be opened must not be remembered, or trying again would be in vain.
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/:/vsigs/:/vsiaz/",
    "CPL_VSIL_CURL_CACHE_SIZE": str(32 * 2**20),
}
ATTEMPTS = 4  # at a remote window, before the scene is given up
FIRST_PAUSE = 0.2  # seconds; doubled each time


class Scene:
    """One image on its grid. `area` is the part of it that is mapped; windows count from the area's first pixel."""

    def __init__(
        self,
        source: Located,
        sensor: Sensor,
        *,
        bands: Sequence[str] | None = None,
        may_lack_bands: bool = False,
        area: Window | None = None,
    ) -> None:
        sensor.statistics  # noqa: B018 - a sensor that cannot normalise is refused before anything is read
        self.source, self.sensor = source, sensor
        self.is_remote = any(is_remote(path) for path in _paths(source))
        with rasterio.Env(**GDAL_OPTIONS):
            self.info: RasterInfo = self._patiently(lambda: describe(source))
            self.found, self.notes, self._lacking = _matched(sensor, self.info, bands, may_lack_bands)
            self.area: Window = area or (0, 0, self.info.height, self.info.width)
            _refuse_outside(self.area, self.info)
            self._fed = sensor if not self._lacking else _without(sensor, self._lacking)
            self._plain = _Plain.of(source, self.info, self.found, self._fed) if isinstance(source, str) else None

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns that are mapped."""
        return self.area[2], self.area[3]

    @property
    def transform(self) -> Any:
        return shifted(self.info.transform, self.area)

    def part(self, area: Window) -> "Scene":
        """The same scene, of which only this window of the whole is mapped."""
        other = copy(self)
        other.area = area
        _refuse_outside(area, self.info)
        return other

    def read(self, window: Window, *, wraps: bool = False) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Normalised pixels, 0 where not valid, and where every band is valid. Beyond the area nothing is.

        With `wraps` the columns go on around the circle.
        """
        row, column, rows, columns = window
        pixels_CHW = np.zeros((len(self.sensor.bands), rows, columns), np.float32)
        valid_HW = np.zeros((rows, columns), np.bool_)
        _, _, height, width = self.area
        top, bottom = max(0, row), min(height, row + rows)
        for place, start, stop in _pieces(column, columns, width, wraps=wraps):
            here = slice(top - row, bottom - row), slice(place, place + stop - start)
            target_CHW = pixels_CHW[(slice(None), *here)]
            valid_HW[here] = self._read_inside((top, start, bottom - top, stop - start), target_CHW)
        return pixels_CHW, valid_HW

    def _read_inside(self, window: Window, target_CHW: NDArray[np.float32]) -> NDArray[np.bool_]:
        row, column, rows, columns = window
        whole = self.area[0] + row, self.area[1] + column, rows, columns
        rows_fed = [at for at, band in enumerate(self.sensor.bands) if band.name not in self._lacking]
        with rasterio.Env(**GDAL_OPTIONS):
            if self._plain is not None:
                plain = self._plain
                if not self._lacking:
                    return self._patiently(lambda: plain.read(whole, target_CHW))
                part_CHW = np.zeros((len(rows_fed), *target_CHW.shape[1:]), np.float32)
                valid_HW = self._patiently(lambda: plain.read(whole, part_CHW))
                target_CHW[rows_fed] = part_CHW
                return valid_HW
        decoded = self._decoded(whole)
        target_CHW[rows_fed] = self._fed.normalise(decoded)
        return decoded.valid_HW

    def decoded(self) -> Raster:
        """The area in physical units, and what of each band is real; without the bands that it lacks."""
        return self._decoded(self.area)

    def _decoded(self, window: Window) -> Raster:
        with rasterio.Env(**GDAL_OPTIONS):
            stored = self._patiently(lambda: open_raster(self.source, bands=self.found.bands, window=window))
        return self._fed.decode(stored.renamed(self._fed.band_names))

    def _patiently(self, read: Any) -> Any:
        """A connection may drop; a file that is broken stays so."""
        for attempt in range(ATTEMPTS):
            try:
                return read()
            except InputError:
                if not self.is_remote or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(FIRST_PAUSE * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


class _Plain:
    """One file of one small type without masks: read through handles kept open, one a thread, and scaled in place."""

    def __init__(self, path: str, positions: list[int], judges: list[Judge], line: NDArray[np.float64]) -> None:
        self.path, self.positions, self.judges = path, positions, judges
        self.gain_C, self.bias_C = (part.astype(np.float32) for part in line)
        self._open = threading.local()

    @classmethod
    def of(cls, path: str, info: RasterInfo, found: Match, sensor: Sensor) -> "_Plain | None":
        suffix = "." + path.lower().rpartition(".")[2]
        if suffix in ARRAY_SUFFIXES or suffix == ENVI_HEADER or info.has_alpha:
            return None
        at = [info.bands.index(name) if name in info.bands else -1 for name in found.bands]
        if -1 in at or len(set(info.dtypes)) != 1 or info.dtype not in PLAIN_TYPES or not _has_only_nodata(path, info):
            return None
        mean_C, std_C = (part.astype(np.float64) for part in sensor.statistics)
        judges: list[Judge] = []
        lines = []
        for band, place in zip(sensor.bands, at, strict=True):
            nodata, stated = info.nodata[place], info.scaling[place]
            judges.append(judge_of(band, info.dtype, nodata, stated))
            lines.append(band.scaling(stated))
        scale_C, offset_C = np.array(lines, np.float64).T
        return cls(path, [place + 1 for place in at], judges, np.array([scale_C / std_C, (offset_C - mean_C) / std_C]))

    def read(self, window: Window, target_CHW: NDArray[np.float32]) -> NDArray[np.bool_]:
        row, column, rows, columns = window
        try:
            handle = getattr(self._open, "handle", None)
            if handle is None:
                handle = self._open.handle = open_quietly(self.path)
            stored_CHW = handle.read(self.positions, window=GdalWindow(column, row, columns, rows))
        except RasterioError as error:
            self._open.handle = None
            reason = str(error.__cause__ or error).splitlines()[0]
            raise InputError(
                f"{self.path} cannot be read ({reason}). If it was copied, it may be cut short."
            ) from error
        valid_HW = np.ones((rows, columns), np.bool_)
        judged = judge_planes(self.judges, stored_CHW)
        for stored_HW, out_HW, there_HW, gain, bias in zip(
            stored_CHW, target_CHW, judged, self.gain_C, self.bias_C, strict=True
        ):
            out_HW[...] = stored_HW  # half the time of a product of two types
            out_HW *= gain
            out_HW += bias
            if there_HW is not None:
                out_HW[~there_HW] = 0
                valid_HW &= there_HW
        return valid_HW


def open_quietly(path: str) -> Any:
    """A rasterio dataset; that it has no place on Earth is no news."""
    with FILTERING, catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def _has_only_nodata(path: str, info: RasterInfo) -> bool:
    """No palette, no mask band, no complex numbers: what GDAL counts as bands is what we count."""
    usual = {MaskFlags.all_valid, MaskFlags.nodata}
    try:
        with open_quietly(path) as dataset:
            masked = any(set(flags) - usual for flags in dataset.mask_flag_enums)
            return dataset.count == len(info.bands) and ColorInterp.palette not in dataset.colorinterp and not masked
    except RasterioError:
        return False  # the careful reader says what is wrong


def _paths(source: Located) -> Sequence[str]:
    return [source] if isinstance(source, str) else list(source.values())


def _pieces(column: int, columns: int, width: int, *, wraps: bool) -> list[tuple[int, int, int]]:
    """Where in the window a piece goes, and which columns of the area it is."""
    if not wraps:
        start, stop = max(0, column), min(width, column + columns)
        return [(start - column, start, stop)] if stop > start else []
    pieces, place = [], 0
    while place < columns:
        start = (column + place) % width
        stop = min(width, start + columns - place)
        pieces.append((place, start, stop))
        place += stop - start
    return pieces


def _matched(
    sensor: Sensor, info: RasterInfo, names: Sequence[str] | None, may_lack: bool
) -> tuple[Match, tuple[str, ...], frozenset[str]]:
    """Which plane is which band; the bands that are missing, where the model has learnt to do without some."""
    try:
        found = match(sensor, info, names=names)
        return found, found.notes, frozenset()
    except InputError:
        called = {name_key(name) for name in names or info.bands}
        lacking = [band.name for band in sensor.bands if not band.keys & called]
        if not may_lack or not lacking or len(lacking) == len(sensor.bands):
            raise
    found = match(_without(sensor, frozenset(lacking)), info, names=names)
    note = f"{info.name} lacks {', '.join(lacking)}; the model has learnt to do without, and sees their mean"
    return found, (*found.notes, note), frozenset(lacking)


def _without(sensor: Sensor, lacking: frozenset[str]) -> Sensor:
    return sensor.select([name for name in sensor.band_names if name not in lacking])


def _refuse_outside(area: Window, info: RasterInfo) -> None:
    row, column, rows, columns = area
    if rows < 1 or columns < 1:
        raise InputError(f"The area to map holds no pixel of {info.name}. Choose a larger one, or another scene.")
    if row < 0 or column < 0 or row + rows > info.height or column + columns > info.width:
        raise InputError(f"The area to map lies outside {info.name}, which has {info.height} x {info.width} pixels.")
