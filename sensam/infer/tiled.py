"""A scene to raw planes, tile by tile; a killed run goes on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Window
from sensam.errors import SettingsError
from sensam.infer.products import Product
from sensam.infer.scene import Scene
from sensam.infer.schedule import AHEAD, BEHIND, Found, Schedule, Step, Tile, Valid, beside
from sensam.infer.tiles import Axis, lay_axis
from sensam.infer.voting import Predict
from sensam.infer.weave import Weave
from sensam.infer.workplace import Workplace

Mask = Callable[[Window], Valid]  # which pixels of a window are wanted
Progress = Callable[[int, int, float], None]  # batches done, batches in all, seconds since the start


@dataclass(frozen=True, slots=True)
class Layout:
    """The tiles of a scene, and how many of them are predicted together."""

    rows: Axis
    columns: Axis
    batch: int
    classes: int
    wraps: bool = False

    @classmethod
    def of(
        cls, size: tuple[int, int], side: int, overlap: int, batch: int, classes: int, *, wraps: bool = False
    ) -> "Layout":
        if side < 1 or batch < 1:
            raise SettingsError(f"Tiles of {side} pixels, {batch} at a time, make no sense. Give at least 1.")
        rows, columns = lay_axis(size[0], side, overlap), lay_axis(size[1], side, overlap, wraps=wraps)
        return cls(rows, columns, batch, classes, wraps)

    @property
    def tiles(self) -> int:
        """How many tiles finish pixels."""
        return len(self.rows.own) * len(self.columns.own)

    def steps(self, strip: range | None = None) -> tuple[Step, ...]:
        """All batches of a strip of tile rows, with the rows and columns before it that it shares pixels with."""
        strip = strip or self.rows.own
        columns = [*self.columns.before(self.columns.own.start), *self.columns.own]
        return tuple(
            self._step(row, tuple(columns[start : start + self.batch]), starts_row=start == 0)
            for row in (*self.rows.before(strip.start), *strip)
            for start in range(0, len(columns), self.batch)
        )

    def _step(self, row: int, columns: tuple[int, ...], *, starts_row: bool) -> Step:
        return Step(row, columns, starts_row, tuple(self._window(row, column) for column in columns))

    def _window(self, row: int, column: int) -> Window:
        """What a tile covers; around a circle its column may lie before the first or after the last."""
        return self.rows.starts[row], self.columns.starts[column], self.rows.size, self.columns.size


def map_strip(
    scene: Scene,
    predict: Predict,
    layout: Layout,
    workplace: Workplace,
    *,
    strip: range | None = None,
    mask: Mask | None = None,
    progress: Progress | None = None,
    schedule: Schedule = beside,
) -> int:
    """Predict the rows of tiles in `strip` (all by default) that are not done yet; how many pixels were valid."""
    work = _Strip(scene, predict, layout, workplace, strip or layout.rows.own, mask, progress)
    schedule(work.left, work)
    return work.state.valid


@dataclass(eq=False)
class _Strip:
    """The work on some rows of tiles, from where a killed run left it."""

    scene: Scene
    model: Predict
    layout: Layout
    workplace: Workplace
    strip: range
    mask: Mask | None
    progress: Progress | None

    def __post_init__(self) -> None:
        steps = self.layout.steps(self.strip)
        self.state = self.workplace.strip(self.strip.start)
        self.batches, self.left = len(steps), steps[self.state.batches :]
        self.weave = Weave(self.layout.rows, self.layout.columns, self.state.folder)
        if self.state.batches and self.left and not self.left[0].starts_row:
            self.weave.resume(self.state.beside(self.state.batches))
        self.is_sound = True
        self.began = time.perf_counter()

    def read(self, window: Window) -> Tile:
        pixels_CHW, valid_HW = self.scene.read(window, wraps=self.layout.wraps)
        if self.mask is not None:
            valid_HW &= self.mask(window)
        return pixels_CHW, valid_HW

    def predict(self, tiles: Sequence[Tile]) -> list[Found]:
        """Probabilities of each tile; None for those that show nothing, which the model need not see."""
        shown = [pixels_CHW for pixels_CHW, valid_HW in tiles if valid_HW.any()]
        found = iter(self.model(shown[0][None] if len(shown) == 1 else np.stack(shown)) if shown else ())
        return [next(found) if valid_HW.any() else None for _, valid_HW in tiles]

    def finish(self, step: Step, valid: Sequence[Valid], found: Sequence[Found]) -> None:
        """Blend a batch into what its neighbours left, write what is finished, and remember that it is.

        After a failure nothing more is written or counted: batches wait behind each other to be finished, and the
        journal only says how many are done, so that one counted behind a gap would close the gap for good.
        """
        if not self.is_sound:
            return
        self.is_sound = False  # until all of this batch is in place
        if step.starts_row:
            self.weave.start_row()
            self.weave.clear_before(step.row)
        pixels = 0
        for column, valid_HW, probability_KHW in zip(step.columns, valid, found, strict=True):
            pixels += self._finish_tile(step.row, column, valid_HW, probability_KHW)
        self.weave.save(self.state.beside(self.state.batches + 1))
        self.state.advance(pixels)
        self.is_sound = True
        if self.progress is not None:
            self.progress(self.state.batches, self.batches, time.perf_counter() - self.began)

    def _finish_tile(self, row: int, column: int, valid_HW: Valid, probability_KHW: Found) -> int:
        """How many pixels of what this tile finishes were valid."""
        share_KHW = _weighted(probability_KHW, self.layout, row, column)
        done_KHW = self.weave.add(row, column, share_KHW)
        if done_KHW is None or row not in self.strip:
            return 0
        rows, columns = self.layout.rows.finishes(row), self.layout.columns.finishes(column)
        there_HW = valid_HW[: rows[1] - rows[0], : columns[1] - columns[0]]
        for product in self.workplace.products:
            self.workplace.write(product, rows, columns, product.of(done_KHW, there_HW))
        return int(there_HW.sum())


def _weighted(probability_KHW: Found, layout: Layout, row: int, column: int) -> NDArray[np.float32]:
    if probability_KHW is None:
        return np.zeros((layout.classes, layout.rows.size, layout.columns.size), np.float32)
    weight_HW = np.multiply.outer(layout.rows.weights(row), layout.columns.weights(column))
    probability_KHW = np.ascontiguousarray(probability_KHW)
    probability_KHW *= weight_HW
    return probability_KHW


def memory_needed(layout: Layout, bands: int) -> int:
    """Bytes of tiles and probabilities that are alive at once, besides the model's own."""
    pixels = layout.rows.size * layout.columns.size * layout.batch
    tiles = (AHEAD + 2) * pixels * 4 * bands
    valid = (AHEAD + BEHIND + 3) * pixels
    return int(tiles + valid + (BEHIND + 3) * pixels * 4 * layout.classes)


def disk_needed(size: tuple[int, int], products: Sequence[Product]) -> int:
    """Bytes for raw planes and, at worst as many again with a third for overviews, for the maps made of them."""
    pixels = size[0] * size[1]
    raw = sum(pixels * len(product.planes) * np.dtype(product.dtype).itemsize for product in products)
    return int(raw * (1 + 4 / 3))
