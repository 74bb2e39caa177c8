"""Windows: random ones fill a scene evenly, those laid out hold every pixel once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.data.windows import draw, lay_out, move_inside, within
from sensam.errors import InputError


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 45))
def test_laid_out_windows_hold_every_pixel_once(height: int, width: int, size: int) -> None:
    windows = lay_out(height, width, size)
    count_HW = np.zeros((height, width), int)
    for row, column, rows, columns in windows:
        count_HW[row : row + rows, column : column + columns] += 1
        assert rows <= size
        assert columns <= size
    assert (count_HW == 1).all()


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 45))
def test_parts_lie_in_full_windows_that_were_moved_inside(height: int, width: int, size: int) -> None:
    scene_HW = np.arange(height * width).reshape(height, width)
    for part in lay_out(height, width, size):
        row, column, rows, columns = window = move_inside(part, height, width, size)
        assert (rows, columns) == (min(size, height), min(size, width))
        seen_HW = scene_HW[row : row + rows, column : column + columns]
        top, left, high, wide = part
        assert np.array_equal(seen_HW[within(part, window)], scene_HW[top : top + high, left : left + wide])


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 45), seed=st.integers(0, 99))
def test_drawn_windows_lie_inside(height: int, width: int, size: int, seed: int) -> None:
    row, column, rows, columns = draw(np.random.default_rng(seed), height, width, size, size)
    assert (rows, columns) == (min(size, height), min(size, width))
    assert 0 <= row <= height - rows
    assert 0 <= column <= width - columns


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 35), st.data())
def test_a_window_around_a_pixel_holds_it(height: int, width: int, size: int, data: st.DataObject) -> None:
    around = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    row, column, rows, columns = draw(np.random.default_rng(0), height, width, size, size, around=around)
    assert 0 <= row <= around[0] < row + rows <= height
    assert 0 <= column <= around[1] < column + columns <= width


def test_every_place_is_drawn_equally_often() -> None:
    random = np.random.default_rng(1)
    count = np.zeros((5, 3), int)
    for _ in range(3000):
        row, column, _, _ = draw(random, 8, 6, 4, 4)
        count[row, column] += 1
    expected = 3000 / 15
    assert np.square(count - expected).sum() / expected < 36.1  # chi square, 14 degrees of freedom, p = 0.001


def test_a_window_of_no_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        lay_out(10, 10, 0)
