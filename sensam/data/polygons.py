"""Class polygons burned onto an image's own grid: reprojected, in the order of the classes, pixel centres decide."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.layout import DatasetSpec
from sensam.data.raster import Window
from sensam.errors import InputError, unknown

SUFFIXES = (".gpkg", ".geojson", ".json", ".shp", ".fgb")


@dataclass(frozen=True, slots=True)
class Grid:
    """The pixels to burn onto: rows, columns, and where they lie."""

    height: int
    width: int
    crs: Any
    transform: Any

    def part(self, window: Window) -> "Grid":
        """The grid of a window of this one."""
        row, column, rows, columns = window
        t = self.transform
        if t is None:
            return Grid(rows, columns, self.crs, None)
        east, north = t.c + column * t.a + row * t.b, t.f + column * t.d + row * t.e
        return Grid(rows, columns, self.crs, type(t)(t.a, t.b, east, t.d, t.e, north))


def burn(path: Path, grid: Grid, spec: DatasetSpec) -> NDArray[Any]:
    """Class numbers on the grid; where polygons overlap, the class that is listed later wins."""
    from rasterio.features import rasterize

    if grid.crs is None or grid.transform is None:
        raise InputError(f"{path} has polygons in world coordinates, but the image has no place on Earth.")
    by_class = _by_class(path, grid, spec)
    names = [entry.name for entry in spec.classes]
    ground = spec.ignore if spec.label.uncovered == "ignore" else names.index(str(spec.label.uncovered))
    label_HW = np.full((grid.height, grid.width), ground, np.int32)
    shapes = [(shape, number) for number in sorted(by_class) for shape in by_class[number]]
    if shapes:
        rasterize(shapes, out=label_HW, transform=grid.transform, all_touched=False)
    return label_HW


def _by_class(path: Path, grid: Grid, spec: DatasetSpec) -> Mapping[int, list[Any]]:
    """Shapes near the grid, in its coordinate system, by class number."""
    shapes, values = _read_near(path, grid, spec.label.attribute)
    numbers = _numbers_by_value(spec)
    by_class: dict[int, list[Any]] = {}
    for shape, value in zip(shapes, values, strict=True):
        if value not in numbers:
            if spec.label.unknown == "error":
                raise unknown(f"class of polygons in {path}", value, numbers)
            by_class.setdefault(spec.ignore, []).append(shape)
            continue
        by_class.setdefault(numbers[value], []).append(shape)
    return by_class


def _numbers_by_value(spec: DatasetSpec) -> dict[str, int]:
    if spec.label.attribute is None:
        return {"": len(spec.classes) - 1}
    numbers = {str(stored): spec.ignore for stored in spec.label.ignored}
    for number, entry in enumerate(spec.classes):
        numbers |= {str(stored): number for stored in entry.stored or (entry.name,)}
    return numbers


def _read_near(path: Path, grid: Grid, attribute: str | None) -> tuple[list[Any], list[str]]:
    """Shapes whose box meets the grid's, and the attribute of each."""
    from rasterio.crs import CRS

    info = _info(path)
    if not info["crs"]:
        raise InputError(f"{path} does not say its coordinate system. Write it with one (GeoPackage keeps it).")
    _expect_field(attribute, info, path)
    crs = CRS.from_user_input(info["crs"])
    box = _box_in(grid, crs)
    shapes, values = _read(path, box, attribute)
    if crs != grid.crs:
        from rasterio.warp import transform_geom
        from shapely.geometry import mapping, shape

        shapes = [shape(transform_geom(crs, grid.crs, mapping(one))) for one in shapes]
    return shapes, values


def _expect_field(attribute: str | None, info: Any, path: Path) -> None:
    if attribute is not None and attribute not in info["fields"]:
        raise unknown(f"attribute of {path}", attribute, [str(name) for name in info["fields"]])


def _info(path: Path) -> Any:
    from pyogrio import read_info
    from pyogrio.errors import DataSourceError

    try:
        return read_info(path)
    except DataSourceError as error:
        raise InputError(f"{path} cannot be read as polygons ({str(error).splitlines()[0]}).") from error


def _read(path: Path, box: tuple[float, float, float, float], attribute: str | None) -> tuple[list[Any], list[str]]:
    from pyogrio.raw import read
    from shapely import from_wkb

    _, _, geometries, columns = read(path, columns=[] if attribute is None else [attribute], bbox=box)
    shapes = [] if geometries is None else list(from_wkb(geometries))
    values = [""] * len(shapes) if attribute is None else [str(value) for value in columns[0]]
    kept = [(shape, value) for shape, value in zip(shapes, values, strict=True) if shape and not shape.is_empty]
    return [shape for shape, _ in kept], [value for _, value in kept]


def _box_in(grid: Grid, crs: Any) -> tuple[float, float, float, float]:
    from rasterio.transform import array_bounds
    from rasterio.warp import transform_bounds

    bounds = array_bounds(grid.height, grid.width, grid.transform)
    west, south, east, north = bounds if crs == grid.crs else transform_bounds(grid.crs, crs, *bounds, densify_pts=21)
    return float(west), float(south), float(east), float(north)


def attributes(path: Path) -> dict[str, list[str]]:
    """Text fields of a polygon file with the values they take, where these are few enough to be classes."""
    from pyogrio.raw import read

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
    from pyogrio.raw import read

    attribute = spec.label.attribute
    _expect_field(attribute, _info(path), path)
    if attribute is None:
        return {}
    _, _, _, columns = read(path, columns=[attribute], read_geometry=False)
    known = _numbers_by_value(spec)
    return dict(Counter(str(value) for value in columns[0] if str(value) not in known))
