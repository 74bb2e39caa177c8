"""Class polygons burned onto an image's own grid: reprojected, in the order of the classes, pixel centres decide."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyogrio import read_info
from pyogrio.errors import DataSourceError
from pyogrio.raw import read
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds, transform_geom
from shapely import STRtree, from_wkb
from shapely.geometry import box, mapping, shape

from sensam.data.layout import DatasetSpec
from sensam.data.raster import Window, shifted
from sensam.data.sources import version_of
from sensam.errors import InputError, unknown

SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb")
LARGEST_KEPT = 64 * 2**20  # bytes of a polygon file that each process keeps in memory


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels to burn onto: rows, columns, and where they lie."""

    height: int
    width: int
    crs: Any
    transform: Any

    def part(self, window: Window) -> "Grid":
        """The grid of a window of this one."""
        return Grid(*window[2:], self.crs, shifted(self.transform, window))


def burn(path: Path, grid: Grid, spec: DatasetSpec) -> NDArray[Any]:
    """Class numbers on the grid; where polygons overlap, the class that is listed later wins."""
    if grid.crs is None or grid.transform is None:
        raise InputError(f"{path} has polygons in world coordinates, but the image has no place on Earth.")
    by_class = _by_class(path, grid, spec)
    names = [entry.name for entry in spec.classes]
    ground = spec.ignore if spec.label.uncovered == "ignore" else names.index(str(spec.label.uncovered))
    label_HW = np.full((grid.height, grid.width), ground, np.int32)
    shapes = [(one, number) for number in sorted(by_class) for one in by_class[number]]
    if shapes:
        rasterize(shapes, out=label_HW, transform=grid.transform, all_touched=False)
    return label_HW


def _by_class(path: Path, grid: Grid, spec: DatasetSpec) -> Mapping[int, list[Any]]:
    """Shapes near the grid, in its coordinate system, by class number."""
    shapes, values = _read_near(path, grid, spec.label.attribute)
    numbers = _numbers_by_value(spec)
    by_class: dict[int, list[Any]] = {}
    for one, value in zip(shapes, values, strict=True):
        if value not in numbers and spec.label.unknown == "error":
            raise unknown(f"class of polygons in {path}", value, numbers)
        by_class.setdefault(numbers.get(value, spec.ignore), []).append(one)
    return by_class


def _numbers_by_value(spec: DatasetSpec) -> dict[str, int]:
    if spec.label.attribute is None:
        return {"": len(spec.classes) - 1}
    numbers = {str(stored): spec.ignore for stored in spec.label.ignored}
    for number, entry in enumerate(spec.classes):
        numbers |= {str(stored): number for stored in entry.stored or (entry.name,)}
    return numbers


def _read_near(path: Path, grid: Grid, attribute: str | None) -> tuple[list[Any], list[str]]:
    """Shapes whose box meets the grid's, in its coordinate system, and the attribute of each."""
    if path.stat().st_size > LARGEST_KEPT:
        return _read_part(path, grid, attribute)
    shapes, values, tree = _read_whole(path, attribute, grid.crs.to_wkt(), version_of(path))
    near = sorted(tree.query(box(*array_bounds(grid.height, grid.width, grid.transform))).tolist())
    return [shapes[place] for place in near], [values[place] for place in near]


@lru_cache(maxsize=64)
def _read_whole(
    path: Path, attribute: str | None, crs_wkt: str, _version: tuple[int, int]
) -> tuple[list[Any], list[str], STRtree]:
    """All shapes of a file, reprojected and indexed once, because every window of a training asks for some of them."""
    crs = _crs_of(path, attribute)
    shapes, values = _reprojected(_read(path, None, attribute), crs, CRS.from_wkt(crs_wkt))
    return shapes, values, STRtree(shapes)


def _read_part(path: Path, grid: Grid, attribute: str | None) -> tuple[list[Any], list[str]]:
    """Only what lies near the grid, of a file too large to keep."""
    crs = _crs_of(path, attribute)
    bounds = array_bounds(grid.height, grid.width, grid.transform)
    if crs != grid.crs:
        bounds = transform_bounds(grid.crs, crs, *bounds, densify_pts=21)
    return _reprojected(_read(path, bounds, attribute), crs, grid.crs)


def _reprojected(found: tuple[list[Any], list[str]], crs: Any, wanted: Any) -> tuple[list[Any], list[str]]:
    shapes, values = found
    if crs == wanted:
        return shapes, values
    return [shape(transform_geom(crs, wanted, mapping(one))) for one in shapes], values


def _crs_of(path: Path, attribute: str | None) -> Any:
    info = _info(path)
    if not info["crs"]:
        raise InputError(f"{path} does not say its coordinate system. Write it with one (GeoPackage keeps it).")
    _expect_field(attribute, info, path)
    return CRS.from_user_input(info["crs"])


def _expect_field(attribute: str | None, info: Any, path: Path) -> None:
    if attribute is not None and attribute not in info["fields"]:
        raise unknown(f"attribute of {path}", attribute, [str(name) for name in info["fields"]])


def _info(path: Path) -> Any:
    try:
        return read_info(path)
    except DataSourceError as error:
        raise InputError(f"{path} cannot be read as polygons ({str(error).splitlines()[0]}).") from error


def _read(
    path: Path, bounds: tuple[float, float, float, float] | None, attribute: str | None
) -> tuple[list[Any], list[str]]:
    _, _, geometries, columns = read(path, columns=[] if attribute is None else [attribute], bbox=bounds)
    shapes = [] if geometries is None else list(from_wkb(geometries))
    values = [""] * len(shapes) if attribute is None else [str(value) for value in columns[0]]
    kept = [(one, value) for one, value in zip(shapes, values, strict=True) if one and not one.is_empty]
    return [one for one, _ in kept], [value for _, value in kept]


def attributes(path: Path) -> dict[str, list[str]]:
    """Text fields of a polygon file with the values they take, where these are few enough to be classes."""
    _info(path)
    meta, _, _, columns = read(path, read_geometry=False)
    found: dict[str, list[str]] = {}
    for name, values in zip(meta["fields"], columns, strict=True):
        distinct = sorted({str(value) for value in values if value is not None})
        if values.dtype.kind in "OU" and 1 <= len(distinct) <= 64:
            found[str(name)] = distinct
    return found


def strangers(path: Path, spec: DatasetSpec) -> dict[str, int]:
    """Attribute values that are no class, with the number of polygons."""
    attribute = spec.label.attribute
    _expect_field(attribute, _info(path), path)
    if attribute is None:
        return {}
    _, _, _, columns = read(path, columns=[attribute], read_geometry=False)
    known = _numbers_by_value(spec)
    return dict(Counter(str(value) for value in columns[0] if str(value) not in known))
