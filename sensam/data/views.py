"""Which part of an image a sample shows and in which pose: named, so that what was computed of it can be kept."""

from math import ceil
from typing import Literal

from sensam.data.augment import Pose
from sensam.data.raster import Window
from sensam.types import RANDOM_VIEW

Views = Literal["random", "grid"]  # windows drawn anew in every epoch, or the same ones in another order


def grid(height: int, width: int, size: int) -> tuple[Window, ...]:
    """Windows of one size, evenly spaced, that together cover the image; they overlap where it does not divide."""
    rows, columns = min(size, height), min(size, width)
    return tuple((row, column, rows, columns) for row in _starts(height, rows) for column in _starts(width, columns))


def _starts(whole: int, part: int) -> list[int]:
    count = ceil(whole / part)
    return [(whole - part) * number // max(1, count - 1) for number in range(count)]


def name_view(window: Window, pose: Pose, *, comes_again: bool) -> str:
    """A view by its window and pose. One that is drawn from a continuum, or lit at random, will not come again."""
    if not comes_again or pose.magnification != 1 or pose.shift:
        return RANDOM_VIEW
    flips = f"{'r' * pose.flip_rows}{'c' * pose.flip_columns}{pose.quarters}"
    return f"{','.join(map(str, window))}/{flips}"
