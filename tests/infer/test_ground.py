"""The ground that a pixel covers, by coordinate systems that count in metres, feet, degrees and Mercator's metres."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from sensam.infer.ground import areas_of_pixels, in_space, metres_of_pixel


@pytest.mark.parametrize(
    ("crs", "transform", "metres"),
    [
        ("EPSG:32632", Affine(10, 0, 500_000, 0, -10, 5_000_000), 10.0),
        ("EPSG:32632", Affine(0, 10, 500_000, 10, 0, 5_000_000), 10.0),  # turned by a quarter
        ("EPSG:32632", Affine(20, 0, 500_000, 0, -5, 5_000_000), 10.0),  # as large as a square of 10
        ("EPSG:2263", Affine(1, 0, 984_000, 0, -1, 207_000), 0.305),  # New York in feet
        ("EPSG:4326", Affine(9e-5, 0, 9.0, 0, -9e-5, 0.0), 10.0),
        ("EPSG:4326", Affine(9e-5, 0, 9.0, 0, -9e-5, 60.0), 7.1),
        ("EPSG:3857", Affine(10, 0, 0, 0, -10, 8_399_737.89), 5.01),  # at 60 degrees Mercator counts double
    ],
)
def test_pixels_are_taken_to_the_ground(crs, transform, metres):
    assert metres_of_pixel(CRS.from_string(crs), transform, 100, 100) == pytest.approx(metres, rel=4e-3)


def test_what_has_no_place_on_earth_covers_no_ground():
    place = Affine(10, 0, 0, 0, -10, 0)
    assert metres_of_pixel(None, place, 100, 100) is None
    assert metres_of_pixel(CRS.from_epsg(32632), None, 100, 100) is None
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    assert metres_of_pixel(local, place, 100, 100) is None
    mars = CRS.from_wkt('GEOGCS["Mars",DATUM["Mars",SPHEROID["Mars",3396190,169.8]],UNIT["degree",0.0174532925199433]]')
    assert metres_of_pixel(mars, Affine(0.1, 0, 0, 0, -0.1, 0), 100, 100) is None


def test_degrees_by_latitude():
    """Against the published lengths: 111.320 and 110.574 km at the equator, 0 and 111.694 km at a pole."""
    for latitude, east, north in ((0.0, 111_320, 110_574), (89.995, 9.7, 111_694)):
        places = np.array([[0.0, latitude], [0.01, latitude], [0.0, latitude + 0.005], [0.0, latitude - 0.005]])
        here, right, above, below = in_space(*places.T)
        assert np.linalg.norm(right - here) * 100 == pytest.approx(east, rel=1e-2)
        assert np.linalg.norm(above - below) * 100 == pytest.approx(north, rel=1e-5)


@pytest.mark.parametrize(
    ("crs", "transform", "area"),
    [
        ("EPSG:3857", Affine(10, 0, 20_037_505, 0, -10, 8_399_737.89), 25.1),  # across 180 degrees
        ("EPSG:3413", Affine(10, 0, 0, 0, -10, 0), 106.2),  # at the pole
        ("EPSG:3413", Affine(10, 0, -5, 0, -10, 5), 106.2),  # around it
    ],
)
def test_ground_has_no_seam_and_no_pole(crs, transform, area):
    found = areas_of_pixels(CRS.from_string(crs), transform, np.zeros(1), np.zeros(1))
    assert found == pytest.approx([area], rel=5e-3)
