"""How much ground a pixel covers, in metres, whatever the coordinate system of its image counts in."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what is raised, and has no public name
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as transform_points

GEOGRAPHIC = CRS.from_epsg(4326)
EQUATOR, SQUASHED = 6_378_137.0, 0.00669437999014  # WGS84: radius in metres, eccentricity squared


def metres_of_pixel(crs: Any, transform: Any, rows: int, columns: int) -> float | None:
    """The side of a square as large as the pixel in the middle of an image; None where it has no place on Earth.

    Rounded to three digits: projections stretch by less, and 10 m should read as 10 m.
    """
    areas = areas_of_pixels(crs, transform, np.array([rows / 2]), np.array([columns / 2]))
    if areas is None or not math.isfinite(areas[0]) or areas[0] <= 0:
        return None
    return float(f"{math.sqrt(areas[0]):.3g}")


def areas_of_pixels(
    crs: Any, transform: Any, rows_N: NDArray[np.float64], columns_N: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Square metres of ground under pixels that begin at these places; None where an image has no place on Earth.

    Degrees shrink towards the poles and Mercator's metres are no metres, so the pixels themselves are taken to the
    ground. Not finite where a projection shows no ground.
    """
    if crs is None or transform is None or not (crs.is_geographic or crs.is_projected):
        return None
    a, b, c, d, e, f = tuple(transform)[:6]
    x_N, y_N = a * columns_N + b * rows_N + c, d * columns_N + e * rows_N + f
    x, y = np.concatenate([x_N, x_N + a, x_N + b]), np.concatenate([y_N, y_N + d, y_N + e])
    try:
        longitudes, latitudes = transform_points(crs, GEOGRAPHIC, x, y)
    except (RasterioError, CPLE_BaseError):  # of another planet, or of a kind that nobody can undo
        return None
    with np.errstate(invalid="ignore"):  # infinite where there is no ground
        here_N3, right_N3, below_N3 = in_space(np.array(longitudes), np.array(latitudes)).reshape(3, -1, 3)
        areas_N: NDArray[np.float64] = np.linalg.norm(np.cross(right_N3 - here_N3, below_N3 - here_N3), axis=1)
    return areas_N


def in_space(longitudes_N: NDArray[np.float64], latitudes_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places in metres from the centre of the WGS84 ellipsoid: no seam at 180 degrees, and nothing odd at a pole."""
    east_N, north_N = np.radians(longitudes_N), np.radians(latitudes_N)
    radius_N = EQUATOR / np.sqrt(1 - SQUASHED * np.sin(north_N) ** 2)
    across_N = radius_N * np.cos(north_N)
    along_axis_N = radius_N * (1 - SQUASHED) * np.sin(north_N)
    return np.stack([across_N * np.cos(east_N), across_N * np.sin(east_N), along_axis_N], 1)
