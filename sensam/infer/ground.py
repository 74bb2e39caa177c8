"""How much ground a pixel covers, in metres, whatever the coordinate system of its image counts in."""

import math
from typing import Any

from rasterio._err import CPLE_BaseError  # what is raised, and has no public name
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

GEOGRAPHIC = CRS.from_epsg(4326)


def metres_of_pixel(crs: Any, transform: Any, rows: int, columns: int) -> float | None:
    """The side of a square as large as the pixel in the middle of an image; None where it has no place on Earth.

    Degrees shrink towards the poles and Mercator's metres are no metres, so the pixel itself is taken to the ground.
    Rounded to three digits: projections stretch by less, and 10 m should read as 10 m.
    """
    if crs is None or transform is None or not (crs.is_geographic or crs.is_projected):
        return None
    a, b, c, d, e, f = tuple(transform)[:6]
    x, y = a * columns / 2 + b * rows / 2 + c, d * columns / 2 + e * rows / 2 + f
    corners = (x, y), (x + a, y + d), (x + b, y + e)
    try:
        longitudes, latitudes = transform_points(crs, GEOGRAPHIC, *zip(*corners, strict=True))
    except (RasterioError, CPLE_BaseError):  # of another planet, or of a kind that nobody can undo
        return None
    metres = metres_per_degree(latitudes[0])
    right, down = (
        [(part[place] - part[0]) * per for part, per in zip((longitudes, latitudes), metres, strict=True)]
        for place in (1, 2)
    )
    area = abs(right[0] * down[1] - right[1] * down[0])
    return float(f"{math.sqrt(area):.3g}") if math.isfinite(area) and area > 0 else None


def metres_per_degree(latitude: float) -> tuple[float, float]:
    """Of longitude and of latitude, on the WGS84 ellipsoid."""
    angle = math.radians(latitude)
    east = 111412.84 * math.cos(angle) - 93.5 * math.cos(3 * angle) + 0.118 * math.cos(5 * angle)
    north = 111132.92 - 559.82 * math.cos(2 * angle) + 1.175 * math.cos(4 * angle)
    return east, north
