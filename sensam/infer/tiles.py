"""Where the windows of a scene lie, how much each counts where they overlap, and which pixels each one finishes."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from sensam.errors import SettingsError

Span = tuple[int, int]  # first pixel, and the one after the last


@dataclass(frozen=True, slots=True)
class Axis:
    """Tiles along the rows or the columns, in the order in which they are predicted.

    After a tile, nothing touches the pixels before the next one's start any more: they are finished.
    """

    length: int
    size: int
    overlap: int  # pixels over which a tile's weight rises from its edge
    starts: tuple[int, ...]  # around a circle also those of the turns before and after
    own: range  # positions in `starts` of the tiles that finish pixels

    def finishes(self, position: int) -> Span:
        """The pixels that are complete once this tile is there."""
        start = self.starts[position]
        following = self.starts[position + 1] if position + 1 < len(self.starts) else self.length
        return start, min(following, self.length)

    def before(self, position: int) -> range:
        """The tiles before this one that share its first pixel: what a start in the middle must predict again."""
        start = self.starts[position]
        first = next(earlier for earlier in range(position + 1) if self.starts[earlier] + self.size > start)
        return range(first, position)

    def weights(self, position: int) -> NDArray[np.float32]:
        """How much each pixel of a tile counts; over all tiles that cover a pixel this adds up to 1."""
        return _weights(self, position)


@lru_cache(maxsize=4096)
def _weights(axis: Axis, position: int) -> NDArray[np.float32]:
    start = axis.starts[position]
    rise = np.minimum(1, (np.arange(axis.size) + 1.0) / (axis.overlap + 1))
    hat = np.minimum(rise, rise[::-1])
    total = np.zeros(axis.size)
    for other in axis.starts:
        shift = other - start
        if abs(shift) < axis.size:
            here = slice(max(0, shift), axis.size + min(0, shift))
            total[here] += hat[max(0, -shift) : axis.size - max(0, shift)]
    return (hat / total).astype(np.float32)


def lay_axis(length: int, size: int, overlap: int, *, wraps: bool = False) -> Axis:
    """As few tiles as the overlap allows, evenly spaced; the last one ends where the scene ends, or closes the circle.

    A scene that is smaller than a tile is one tile, whose rest is no data.
    """
    if not 0 <= overlap <= size // 2:
        raise SettingsError(f"An overlap of {overlap} pixels does not fit tiles of {size}: take 0 to {size // 2}.")
    step = size - overlap
    if wraps:
        count = ceil(length / step)
        turn = [round(number * length / count) for number in range(count)]
        turns = ceil(size / length)  # a tile may be longer than the circle
        starts = tuple(start + number * length for number in range(-turns, turns + 1) for start in turn)
        return Axis(length, size, overlap, starts, range(turns * count, (turns + 1) * count))
    count = max(1, ceil((length - overlap) / step))
    spare = length - size
    starts = tuple(round(number * spare / (count - 1)) for number in range(count)) if count > 1 else (0,)
    return Axis(length, size, overlap, starts, range(len(starts)))
