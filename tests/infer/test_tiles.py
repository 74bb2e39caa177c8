"""Tiles cover every pixel, their weights add up to 1, and each pixel is finished exactly once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.errors import SettingsError
from sensam.infer.tiles import lay_axis

SIZES = st.tuples(st.integers(1, 200), st.integers(1, 40)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1]), st.integers(0, pair[1] // 2))
)


@given(SIZES, st.booleans())
def test_weights_add_up_to_one_and_every_pixel_is_finished_once(measures, wraps):
    length, size, overlap = measures
    axis = lay_axis(length, size, overlap, wraps=wraps)
    weight = np.zeros(length)
    finished = np.zeros(length, int)
    for position in axis.own:
        for offset, share in enumerate(axis.weights(position)):
            pixel = axis.starts[position] + offset
            if wraps or pixel < length:
                weight[pixel % length] += share
        start, stop = axis.finishes(position)
        finished[start:stop] += 1
        assert stop - start <= size
    assert (finished == 1).all()
    assert np.allclose(weight, 1, atol=1e-5)


@given(SIZES)
def test_neighbours_share_at_least_the_overlap_and_no_tile_is_spare(measures):
    length, size, overlap = measures
    axis = lay_axis(length, size, overlap)
    gaps = np.diff(axis.starts)
    assert (gaps <= size - overlap).all()
    assert (gaps > 0).all()
    assert len(axis.starts) == 1 or (len(axis.starts) - 1) * (size - overlap) + overlap < length


@given(SIZES, st.booleans())
def test_the_tiles_before_are_all_that_share_the_first_pixel(measures, wraps):
    axis = lay_axis(*measures, wraps=wraps)
    for position in axis.own:
        reaching = [at for at in range(position) if axis.starts[at] + axis.size > axis.starts[position]]
        assert list(axis.before(position)) == reaching


def test_a_weight_rises_from_the_edge_only_where_a_neighbour_falls():
    axis = lay_axis(56, 32, 8)
    first, second = axis.weights(0), axis.weights(1)
    assert np.allclose(first[:24], 1)
    assert (np.diff(first[24:]) < 0).all()
    assert np.allclose(first[24:] + second[:8], 1)


@pytest.mark.parametrize("overlap", [-1, 17])
def test_an_overlap_that_does_not_fit(overlap):
    with pytest.raises(SettingsError, match="0 to 16"):
        lay_axis(100, 32, overlap)
