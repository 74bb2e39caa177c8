"""The ground that a pixel covers, by coordinate systems that count in metres, feet, degrees and Mercator's metres."""

import pytest
from affine import Affine
from rasterio.crs import CRS

from sensam.infer.ground import metres_of_pixel, metres_per_degree


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
    assert metres_per_degree(0) == pytest.approx((111_320, 110_574), rel=1e-4)
    assert metres_per_degree(90)[0] == pytest.approx(0, abs=1)
    assert metres_per_degree(90)[1] == pytest.approx(111_694, rel=1e-4)
