"""Windows of a scene: drawn at random for training, laid out side by side for reading everything once."""

import numpy as np

from sensam.data.raster import Window
from sensam.errors import InputError


def draw(
    rng: np.random.Generator,
    height: int,
    width: int,
    rows: int,
    columns: int,
    *,
    around: tuple[int, int] | None = None,
) -> Window:
    """A window anywhere in the scene, every place equally likely; the whole side where the scene is smaller.

    With `around` only places that hold this pixel are taken.
    """
    rows, columns = min(rows, height), min(columns, width)
    inside_row, inside_column = around or (None, None)
    return _start(rng, height, rows, inside_row), _start(rng, width, columns, inside_column), rows, columns


def _start(rng: np.random.Generator, whole: int, part: int, inside: int | None) -> int:
    first = 0 if inside is None else max(0, inside - part + 1)
    last = whole - part if inside is None else min(inside, whole - part)
    return int(rng.integers(first, last + 1))


def lay_out(height: int, width: int, size: int) -> tuple[Window, ...]:
    """Windows of `size`, row by row, that hold every pixel exactly once; those at the far edges are smaller."""
    if size < 1:
        raise InputError(f"Windows of {size} pixels are too small. Take at least 1.")
    return tuple(
        (row, column, min(size, height - row), min(size, width - column))
        for row in range(0, height, size)
        for column in range(0, width, size)
    )


def move_inside(part: Window, height: int, width: int, size: int) -> Window:
    """The window of full size that holds a part laid out at a far edge; whole sides where the scene is smaller."""
    rows, columns = min(size, height), min(size, width)
    return min(part[0], height - rows), min(part[1], width - columns), rows, columns


def within(part: Window, window: Window) -> tuple[slice, slice]:
    """Where a part of a scene lies in a window that holds it."""
    row, column = part[0] - window[0], part[1] - window[1]
    return slice(row, row + part[2]), slice(column, column + part[3])
