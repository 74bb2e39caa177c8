"""The part of a scene that is wanted: a box or polygons, as a window of pixels and a mask inside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from pyogrio import read_info
from pyogrio.errors import DataSourceError
from pyogrio.raw import read
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.warp import transform_geom
from shapely import from_wkb, get_coordinates
from shapely.errors import ShapelyError
from shapely.geometry import mapping, shape

from sensam.data.raster import RasterInfo, Window, applied, shifted
from sensam.errors import InputError, SettingsError
from sensam.infer.quiet import FILTERING

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in the scene's coordinates
SNAP = 1e-6  # share of a pixel by which a corner may miss the grid


@dataclass(frozen=True, slots=True)
class Area:
    """Polygons on a scene's grid."""

    shapes: tuple[Any, ...]
    transform: Any  # of the window that is mapped

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window have their centre inside."""
        place = shifted(self.transform, window)
        with FILTERING:  # rasterio silences a warning of its own while it burns
            found: NDArray[np.bool_] = geometry_mask(self.shapes, window[2:], place, invert=True)
        return found


def window_of_box(box: Box, info: RasterInfo) -> Window:
    """The pixels of a scene that a box in its coordinates touches."""
    x0, y0, x1, y1 = box
    if not all(isfinite(number) for number in box) or x0 >= x1 or y0 >= y1:
        raise SettingsError(f"The box {_text(box)} has no area. Give xmin,ymin,xmax,ymax in the scene's coordinates.")
    back = ~_place(info)
    corners = [applied(back, x, y) for x in (x0, x1) for y in (y0, y1)]
    columns, rows = ([corner[axis] for corner in corners] for axis in (0, 1))
    left, top = max(0, floor(min(columns) + SNAP)), max(0, floor(min(rows) + SNAP))
    right, bottom = min(info.width, ceil(max(columns) - SNAP)), min(info.height, ceil(max(rows) - SNAP))
    if right <= left or bottom <= top:
        raise InputError(f"The box {_text(box)} lies outside {info.name}, which covers {_text(_bounds(info))}.")
    return top, left, bottom - top, right - left


def read_area(path: Path, info: RasterInfo) -> tuple[Area, Window]:
    """The polygons of a file on the scene's grid, and the window around them."""
    if info.crs is None:
        raise InputError(f"{info.name} has no coordinate system, so {path} cannot be laid on it. Give --bbox instead.")
    shapes = [_brought(one, crs, info.crs) for one, crs in _polygons(path)]
    bounds = np.array([one.bounds for one in shapes])
    box = (*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist())
    if not all(isfinite(number) for number in box) or box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(f"The polygons of {path} have no area. Draw them anew.")
    window = window_of_box(box, info)
    return Area(tuple(mapping(one) for one in shapes), shifted(info.transform, window)), window


def _polygons(path: Path) -> Sequence[tuple[Any, str]]:
    try:
        with FILTERING, catch_warnings():
            simplefilter("ignore", RuntimeWarning)  # of what is refused below
            layer = read_info(path)
            _, _, geometry, _ = read(path, columns=[])
            found = [] if geometry is None else list(from_wkb(geometry))
    except (DataSourceError, ShapelyError, ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as polygons ({str(error).splitlines()[0]}).") from error
    shapes = [one for one in found if one is not None and not one.is_empty]
    polygons = [one for one in shapes if one.geom_type in {"Polygon", "MultiPolygon"}]
    if not polygons:
        raise InputError(f"{path} holds no polygon. Draw the area as polygons and save it as GeoPackage or GeoJSON.")
    if not np.isfinite(get_coordinates(polygons)).all():
        raise InputError(f"{path} has polygons with corners that are no finite numbers. Draw the area anew.")
    if not layer["crs"]:
        raise InputError(f"{path} does not say in which coordinate system it is. Save it with one.")
    return [(one, layer["crs"]) for one in polygons]


def _brought(one: Any, crs: str, wanted: Any) -> Any:
    there = CRS.from_user_input(crs)
    return one if there == wanted else shape(transform_geom(there, wanted, mapping(one)))


def _place(info: RasterInfo) -> Any:
    if info.transform is None:
        raise InputError(f"{info.name} has no place on Earth, so no area of it can be named. Map it whole.")
    return info.transform


def _bounds(info: RasterInfo) -> Box:
    place = _place(info)
    corners = [applied(place, column, row) for column in (0, info.width) for row in (0, info.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _text(box: Box) -> str:
    return ",".join(f"{number:g}" for number in box)
