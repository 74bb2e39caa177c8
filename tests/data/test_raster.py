"""Rasters: shapes that must agree, and windows that keep their place."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.raster import Raster, shifted
from sensam.errors import InputError

PIXELS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
VALID = np.ones(PIXELS.shape, bool)


def test_size_and_where_every_band_is_valid():
    valid = VALID.copy()
    valid[1, 2, 3] = False
    raster = Raster(PIXELS, valid, ("a", "b"))
    assert raster.size == (3, 4)
    assert raster.valid_HW.sum() == 11
    assert not raster.valid_HW[2, 3]


@pytest.mark.parametrize(
    ("pixels", "valid", "bands", "message"),
    [
        (PIXELS[0], VALID[0], ("a",), "bands x rows x columns"),
        (PIXELS, VALID[:1], ("a", "b"), "bands x rows x columns"),
        (PIXELS, VALID, ("a",), "has 2 bands, but 1 names"),
    ],
)
def test_parts_that_do_not_fit(pixels, valid, bands, message):
    with pytest.raises(InputError, match=message):
        Raster(pixels, valid, bands)


def test_another_name_and_other_numbers_leave_the_rest():
    raster = Raster(PIXELS, VALID, ("a", "b"), "crs", "place", is_decoded=False, scaling=((2.0, 1.0), None))
    renamed = raster.renamed(["c", "d"])
    assert (renamed.bands, renamed.crs, renamed.transform, renamed.scaling) == (
        ("c", "d"),
        "crs",
        "place",
        raster.scaling,
    )
    decoded = raster.with_pixels(PIXELS * 2, VALID, is_decoded=True)
    assert decoded.is_decoded
    assert decoded.scaling == ()
    assert (decoded.pixels_CHW == PIXELS * 2).all()
    assert (raster.pixels_CHW == PIXELS).all()


numbers = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(numbers, numbers, numbers, numbers, numbers, numbers, st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_shifted_place_maps_its_first_pixel_where_the_scene_has_it(a, b, c, d, e, f, row, col):
    moved = shifted(Affine(a, b, c, d, e, f), (row, col, 5, 7))
    assert (moved.c, moved.f) == pytest.approx((c + a * col + b * row, f + d * col + e * row))
    assert (moved.a, moved.b, moved.d, moved.e) == (a, b, d, e)


def test_no_place_stays_no_place():
    assert shifted(None, (1, 2, 3, 4)) is None
