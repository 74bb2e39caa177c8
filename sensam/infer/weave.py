"""Overlapping tiles to finished pixels, in the memory of a few tiles: what waits for the next row lies on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.files import whole
from sensam.infer.tiles import Axis, Span

Block = NDArray[np.float32]


class Weave:
    """Adds up weighted tiles, row after row. Its state can be saved after any tile, and taken up again.

    A tile is finished above the next row and left of the next column. What it shares with the next column is kept in
    memory (one tile high); what it shares with the next row goes to a file of its own column, and comes back when that
    row's tile is there. Nothing grows with the width of the scene but the number of these files.
    """

    def __init__(self, rows: Axis, columns: Axis, folder: Path) -> None:
        self.rows, self.columns, self.folder = rows, columns, folder
        self._beside: Block | None = None  # of the tile before in this row, right of this tile's start

    def start_row(self) -> None:
        """Nothing lies beside the first tile of a row."""
        self._beside = None

    def add(self, row: int, column: int, share_KHW: Block) -> Block | None:
        """What this tile finishes, from its probabilities times its weights; None where it only hands on.

        `row` and `column` are positions on the axes; the array is taken over.
        """
        beside = self._beside
        if beside is not None:
            share_KHW[:, :, : beside.shape[2]] += beside
        left, right = self._span(self.columns, column)
        self._beside = share_KHW[:, :, right - left :].copy()
        if column not in self.columns.own:
            return None
        done_KHW = share_KHW[:, :, : right - left]
        above = self._waiting(row - 1, column)
        if above.exists():
            waiting = _load(above)
            done_KHW[:, : waiting.shape[1]] += waiting
        top, bottom = self._span(self.rows, row)
        below = done_KHW[:, bottom - top :]
        if row + 1 < len(self.rows.starts) and below.size:
            _save(self._waiting(row, column), below)
        start, stop = self.columns.finishes(column)
        return done_KHW[:, : min(bottom, self.rows.length) - top, : stop - start]

    def save(self, place: Path) -> None:
        """What the next tile of this row needs."""
        _save(place, self._beside if self._beside is not None else np.zeros((0, 0, 0), np.float32))

    def resume(self, place: Path) -> None:
        """Go on after `save`."""
        beside = _load(place)
        self._beside = beside if beside.size else None

    def clear_before(self, row: int) -> None:
        """Forget what waited for rows that are finished."""
        for path in self.folder.glob("below-*.npy"):
            if int(path.stem.split("-")[1]) < row - 1:
                path.unlink(missing_ok=True)

    def _waiting(self, row: int, column: int) -> Path:
        return self.folder / f"below-{row}-{column}.npy"

    @staticmethod
    def _span(axis: Axis, position: int) -> Span:
        """From this tile's start to the next one's, which at the end is this tile's own end."""
        start = axis.starts[position]
        following = axis.starts[position + 1] if position + 1 < len(axis.starts) else start + axis.size
        return start, min(following, start + axis.size)


def _save(path: Path, block: Block) -> None:
    """Whole or not at all, should the process be killed in the middle."""
    try:
        with whole(path) as unfinished:
            np.save(unfinished, block, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Make room, then run the same again.") from error


def _load(path: Path) -> Block:
    block: Block = np.load(path, allow_pickle=False)
    return block
