"""What float32 can hold exactly, and what nodata means in each type."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sensam.data.readers.exact import LARGEST_INTEGER, differs_from, to_float32
from sensam.errors import InputError

NARROW = [np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.float16, np.float32]


@settings(deadline=None)
@given(st.sampled_from(NARROW).flatmap(lambda dtype: arrays.arrays(dtype, 20)))
def test_narrow_types_lose_nothing(stored):
    pixels = to_float32(stored, np.ones(20, bool), "a")
    assert pixels.dtype == np.float32
    assert np.array_equal(pixels.astype(stored.dtype), stored, equal_nan=stored.dtype.kind == "f")


@settings(deadline=None)
@given(arrays.arrays(st.sampled_from([np.int32, np.uint32, np.int64, np.uint64]), 20))
def test_wide_integers_come_back_or_are_refused(stored):
    fits = all(-LARGEST_INTEGER <= int(value) <= LARGEST_INTEGER for value in stored)
    if fits:
        assert to_float32(stored, np.ones(20, bool), "a").astype(object).tolist() == stored.astype(object).tolist()
    else:
        with pytest.raises(InputError, match="only whole numbers up to 16777216 stay exact"):
            to_float32(stored, np.ones(20, bool), "a")


def test_what_is_not_valid_may_be_any_number():
    stored = np.array([5, -(2**40)])
    assert to_float32(stored, np.array([True, False]), "a")[0] == 5


def test_text_is_no_image():
    with pytest.raises(InputError, match="a holds values of type <U3"):
        to_float32(np.array(["abc"]), np.ones(1, bool), "a")


@pytest.mark.parametrize(
    ("stored", "nodata", "there"),
    [
        (np.array([241, 0], np.uint8), -9999.0, [True, True]),  # -9999 wraps to 241 in 8 bits
        (np.array([True, False]), -9999.0, [True, True]),
        (np.array([True, False]), 0.0, [True, False]),
        (np.array([0, 1], np.uint8), 0.5, [True, True]),
        (np.array([0, 1], np.uint8), 1.0, [True, False]),
        (np.array([np.nan, 1], np.float32), float("nan"), [False, True]),
        (np.array([3, 1], np.int16), float("nan"), [True, True]),
        (np.array([3, 1], np.int16), float("inf"), [True, True]),
        (np.array([-3.4028234663852886e38, 1], np.float32), -3.4028234663852886e38, [False, True]),
        (np.array([0.1, 1], np.float32), 0.1, [False, True]),
        (np.array([1e300, 1.0]), 1e300, [False, True]),
        (np.array([1 + 0j, 1 + 1j], np.complex64), 1.0, [False, True]),
    ],
)
def test_nodata_is_compared_in_the_type_it_is_stored_in(stored, nodata, there):
    assert differs_from(stored, nodata).tolist() == there
