"""Clicks in pixels, in the scene's coordinates and in others; outside is an error that says what there is."""

import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from sensam.data.raster import RasterInfo
from sensam.errors import InputError, SettingsError
from sensam.infer.click_places import Places, parse_numbers, wanted_objects


def info(*, crs: str | None = "EPSG:32633") -> RasterInfo:
    place = Affine(10, 0, 500_000, 0, -10, 5_000_000) if crs else None
    facts = {"wavelengths_nm": (None,), "nodata": (None,), "descriptions": ("",), "units": ("",), "scaling": (None,)}
    found = CRS.from_user_input(crs) if crs else None
    return RasterInfo("s.tif", ("a",), 60, 40, ("uint8",), crs=found, transform=place, **facts)  # type: ignore[arg-type]


def test_pixels_stay_and_map_coordinates_become_pixels() -> None:
    assert Places(info(), None).point(3, 59) == (3, 59)
    assert Places(info(), "scene").point(500_035, 4_999_985) == (3.0, 1.0)  # the middle of column 3, row 1
    assert Places(info(), "EPSG:32633").box(500_100, 4_999_900, 500_200, 4_999_700) == (10, 10, 20, 30)
    (x,), (y,) = transform("EPSG:32633", "EPSG:4326", [500_035], [4_999_985])
    assert Places(info(), "EPSG:4326").point(x, y) == pytest.approx((3, 1), abs=1e-3)


@pytest.mark.parametrize(
    ("crs", "point", "answer"),
    [
        (None, (40, 5), r"40,5 lies outside s.tif, which covers x 0 to 40 and y 0 to 60 in pixels"),
        (None, (5, -1), "5,-1 lies outside"),
        ("scene", (499_999, 4_999_990), "covers x 500000 to 500400 and y 4999400 to 5000000"),
        ("EPSG:4326", (10, 45), r"covers x 15 to 15.00"),
        ("EPSG:4326", (500, 45), "lies outside"),
    ],
)
def test_a_point_outside(crs: str | None, point: tuple[float, float], answer: str) -> None:
    with pytest.raises(InputError, match=answer):
        Places(info(), crs).point(*point)


def test_a_box_outside_or_without_area() -> None:
    with pytest.raises(InputError, match=r"reaches out of s\.tif"):
        Places(info(), None).box(30, 0, 41, 5)
    with pytest.raises(InputError, match="has no area"):
        Places(info(), None).box(3, 5, 3, 9)
    assert Places(info(), None).box(9, 8, 1, 2) == (1, 2, 9, 8)


def test_systems_that_mean_nothing() -> None:
    with pytest.raises(InputError, match="has no place on Earth"):
        Places(info(crs=None), "EPSG:4326")
    with pytest.raises(SettingsError, match="'EPSG:nine' is no coordinate system"):
        Places(info(), "EPSG:nine")


def test_objects_from_words() -> None:
    places = Places(info(), None)
    apart = wanted_objects(places, ["1,2", "3,4"], ["9,9"], ["5,5,8,9"], together=False)
    assert [(w.inside, w.outside, w.box) for w in apart] == [
        (((1, 2),), ((9, 9),), None),
        (((3, 4),), ((9, 9),), None),
        ((), ((9, 9),), (5, 5, 8, 9)),
    ]
    (one,) = wanted_objects(places, ["1,2", "3,4"], [], ["0,0,8,9"], together=True)
    assert (one.inside, one.box, one.extent) == (((1, 2), (3, 4)), (0, 0, 8, 9), (0, 0, 8, 9))
    with pytest.raises(SettingsError, match="Nothing to segment"):
        wanted_objects(places, [], ["1,1"], [], together=False)
    with pytest.raises(SettingsError, match="at most one box; found 2"):
        wanted_objects(places, [], [], ["0,0,1,1", "0,0,2,2"], together=True)


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "1;2", "nan,1", ""])
def test_words_that_are_no_numbers(text: str) -> None:
    with pytest.raises(SettingsError, match=r"is not understood\. Write x,y"):
        parse_numbers(text, 2, "--point")
