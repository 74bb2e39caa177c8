"""A class map to polygons with class, area and mean confidence, simplified together so that neighbours still touch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataSourceError
from pyogrio.raw import write
from rasterio.features import shapes
from rasterio.transform import Affine
from rasterio.warp import transform as transform_points

from sensam.errors import InputError, SettingsError
from sensam.infer.cog import Ground
from sensam.infer.ground import areas_of_pixels
from sensam.infer.patches import NUMBER_BYTES, Patches, find_patches
from sensam.infer.products import Product
from sensam.infer.scene import open_quietly
from sensam.infer.workplace import Workplace

VectorFormat = Literal["gpkg", "geojson", "fgb"]
DRIVERS: dict[VectorFormat, str] = {"gpkg": "GPKG", "geojson": "GeoJSON", "fgb": "FlatGeobuf"}
GEOJSON_CRS = "EPSG:4326"  # what the format prescribes
EMPTY_FILE = 2**17  # bytes, of a GeoPackage's tables
PIXEL_BYTES: dict[VectorFormat, int] = {"gpkg": 20, "geojson": 36, "fgb": 20}  # of a map in patches of nine pixels


@dataclass(frozen=True, slots=True)
class Outlines:
    """Which polygons are wanted: as what file, how small at least, and how far an edge may move."""

    format: VectorFormat = "gpkg"
    smallest: int = 0  # pixels; smaller patches go to their largest neighbour, as GDAL's sieve has it
    tolerance: float = 1.0  # pixels

    def __post_init__(self) -> None:
        if self.smallest < 0 or not 0 <= self.tolerance < inf:
            raise SettingsError(
                f"Polygons of at least {self.smallest} pixels, moved by {self.tolerance:g}: "
                "give 0 or more, and no infinity."
            )

    @property
    def suffix(self) -> str:
        return f".{self.format}"


def disk_of_polygons(size: tuple[int, int], outlines: Outlines) -> int:
    """Bytes for numbered patches and the file of their outlines, which only a map of noise exceeds."""
    pixels = size[0] * size[1]
    return pixels * (NUMBER_BYTES + PIXEL_BYTES[outlines.format]) + EMPTY_FILE


def write_polygons(workplace: Workplace, made: Sequence[Product], ground: Ground, outlines: Outlines) -> Path:
    """The finished file, still in the workplace."""
    by_name = {product.name: product for product in made}
    areas = _row_areas(ground, workplace.size)
    patches = find_patches(workplace, by_name["classes"], by_name["confidence"], outlines.smallest, areas)
    geometry = _simplified(_outlines(patches, workplace), outlines.tolerance)
    crs = ground.crs.to_wkt() if ground.crs is not None else None
    area_name = "area_m2" if ground.crs is not None else "area_px"
    if ground.transform is not None:
        geometry = _placed(geometry, ground.transform)
    if outlines.format == "geojson" and ground.crs is not None:
        geometry, crs = _on_earth(geometry, ground.crs), GEOJSON_CRS
    path = workplace.folder / f"polygons{outlines.suffix}"
    path.unlink(missing_ok=True)
    names = np.array([ground.classes[number] for number in patches.classes], dtype=object)
    fields = [names, patches.classes.astype(np.int32), patches.areas, patches.confidences]
    try:
        with catch_warnings():
            simplefilter("ignore", UserWarning)  # a scene without a place on Earth has polygons without one
            write(
                path,
                geometry=np.array(shapely.to_wkb(geometry), dtype=object),
                field_data=fields,
                fields=["class", "class_id", area_name, "confidence"],
                layer="classes" if outlines.format == "gpkg" else None,
                driver=DRIVERS[outlines.format],
                geometry_type="MultiPolygon",
                promote_to_multi=True,
                crs=crs,
            )
    except (DataSourceError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be written ({reason}). Is there room on the disk?") from error
    return path


def _outlines(patches: Patches, workplace: Workplace) -> NDArray[Any]:
    """The outline of every patch in pixels, in the order of the patches. GDAL reads the numbered map line by line."""
    outlines: list[Any] = [None] * len(patches.classes)
    with open_quietly(str(patches.numbered(workplace))) as dataset:
        for outline, number in shapes(rasterio.band(dataset, 1), connectivity=4):
            if number:
                outlines[int(number) - 1] = shapely.geometry.shape(outline)
    return np.array(outlines, dtype=object)


def _simplified(outlines: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """Fewer corners. Every shared edge is simplified once, so that no gap and no overlap opens along it."""
    if not tolerance or not len(outlines):
        return outlines
    # A corner of one patch in the middle of another's straight edge must be a corner of both.
    found: NDArray[Any] = shapely.coverage_simplify(shapely.segmentize(outlines, 1.0), tolerance)
    return found


def _placed(geometry: NDArray[Any], transform: Affine) -> NDArray[Any]:
    """From pixels to the world."""

    def move(points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points_N2.T
        return np.stack(
            [transform.c + transform.a * x + transform.b * y, transform.f + transform.d * x + transform.e * y], 1
        )

    placed: NDArray[Any] = shapely.transform(geometry, move)
    return placed


def _on_earth(geometry: NDArray[Any], crs: Any) -> NDArray[Any]:
    def move(points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack(transform_points(crs, GEOJSON_CRS, *points_N2.T), 1)

    moved: NDArray[Any] = shapely.transform(geometry, move)
    return moved


EARTH_RADIUS = 6_371_007.2  # metres, of the sphere with the Earth's area
MEASURED = 129  # pixels along each side of a scene, at most, whose ground is measured
KEPT = 0.0025  # UTM stretches areas by up to a fifth of a percent within its zone


def _row_areas(ground: Ground, size: tuple[int, int]) -> Callable[[int], float | NDArray[np.float64]]:
    """The areas of the pixels in a row: square metres, or 1 where a scene has no place on Earth."""
    place = ground.transform
    if ground.crs is None or place is None:
        return lambda _: 1.0
    if not ground.crs.is_geographic:
        return _projected_areas(ground.crs, place, size)

    def area(row: int) -> float:
        north, south = (np.radians(np.clip(place.f + place.e * at, -90, 90)) for at in (row, row + 1))
        return float(EARTH_RADIUS**2 * np.radians(abs(place.a)) * abs(np.sin(north) - np.sin(south)))

    return area


def _projected_areas(crs: Any, place: Affine, size: tuple[int, int]) -> Callable[[int], float | NDArray[np.float64]]:
    """Where a projection keeps areas, as UTM does well enough, a pixel is what its units say: 10 m squared are 100.

    Elsewhere, as in Mercator, it is the ground under it: measured for some pixels, interpolated between them.
    """
    factor = crs.linear_units_factor[1] if crs.is_projected else 1.0
    plain = abs(place.a * place.e - place.b * place.d) * factor**2
    at_R, at_C = (np.linspace(0, length - 1, min(length, MEASURED)) for length in size)
    rows_RC, columns_RC = np.meshgrid(at_R, at_C, indexing="ij")
    areas_N = areas_of_pixels(crs, place, rows_RC.ravel(), columns_RC.ravel())
    if areas_N is None:
        return lambda _: plain
    areas_RC = np.where(np.isfinite(areas_N), areas_N, plain).reshape(rows_RC.shape)
    if np.allclose(areas_RC, plain, rtol=KEPT, atol=0):
        return lambda _: plain

    def areas(row: int) -> NDArray[np.float64]:
        above = min(int(np.searchsorted(at_R, row, "right")), len(at_R)) - 1
        below = min(above + 1, len(at_R) - 1)
        share = (row - at_R[above]) / max(at_R[below] - at_R[above], 1)
        areas_C = areas_RC[above] * (1 - share) + areas_RC[below] * share
        return np.interp(np.arange(size[1]), at_C, areas_C)

    return areas
