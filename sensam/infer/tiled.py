"""A scene to raw planes, tile by tile: reading, predicting and writing overlap, and a killed run goes on."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Window
from sensam.errors import SettingsError
from sensam.infer.products import Product
from sensam.infer.scene import Scene
from sensam.infer.tiles import Axis, lay_axis
from sensam.infer.voting import Predict
from sensam.infer.weave import Weave
from sensam.infer.workplace import Workplace

READERS = 2  # threads: while one waits for a disk or a server, another decodes
AHEAD = 2  # batches that are read before they are needed
BEHIND = 2  # batches that may wait to be written

Tile = tuple[NDArray[np.float32], NDArray[np.bool_]]
Mask = Callable[[Window], NDArray[np.bool_]]  # which pixels of a window are wanted
Progress = Callable[[int, int, float], None]  # batches done, batches in all, seconds since the start


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: tiles beside each other in one row, always the same ones, so that a resumed run computes the same."""

    row: int
    columns: tuple[int, ...]
    starts_row: bool


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
            Step(row, tuple(columns[start : start + self.batch]), start == 0)
            for row in (*self.rows.before(strip.start), *strip)
            for start in range(0, len(columns), self.batch)
        )

    def window(self, row: int, column: int) -> Window:
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
) -> int:
    """Predict the rows of tiles in `strip` (all by default) that are not done yet; how many pixels were valid."""
    strip = strip or layout.rows.own
    steps = layout.steps(strip)
    state = workplace.strip(strip.start)
    weave = Weave(layout.rows, layout.columns, state.folder)
    if 0 < state.batches < len(steps) and not steps[state.batches].starts_row:
        weave.resume(state.beside(state.batches))
    began = time.perf_counter()

    def finish(step: Step, tiles: Sequence[Tile], probabilities: Sequence[NDArray[np.float32] | None]) -> None:
        valid = _finish(step, tiles, probabilities, layout, weave, workplace, strip)
        weave.save(state.beside(state.batches + 1))
        state.advance(valid)
        if progress is not None:
            progress(state.batches, len(steps), time.perf_counter() - began)

    with ThreadPoolExecutor(READERS, "read") as readers, ThreadPoolExecutor(1, "write") as writer:
        writing: deque[Future[None]] = deque()
        for step, tiles in _read_ahead(readers, steps[state.batches :], scene, layout, mask):
            probabilities = _predict(predict, tiles)
            while len(writing) >= BEHIND:
                writing.popleft().result()
            writing.append(writer.submit(finish, step, tiles, probabilities))
        while writing:
            writing.popleft().result()
    return state.valid


def _read_ahead(
    readers: ThreadPoolExecutor, steps: Sequence[Step], scene: Scene, layout: Layout, mask: Mask | None
) -> Iterator[tuple[Step, list[Tile]]]:
    """Steps with their tiles, in order; the next ones are being read meanwhile."""

    def read(window: Window) -> Tile:
        pixels_CHW, valid_HW = scene.read(window, wraps=layout.wraps)
        if mask is not None:
            valid_HW &= mask(window)
        return pixels_CHW, valid_HW

    waiting: deque[tuple[Step, list[Future[Tile]]]] = deque()
    coming = iter(steps)
    while True:
        while len(waiting) <= AHEAD and (step := next(coming, None)) is not None:
            windows = [layout.window(step.row, column) for column in step.columns]
            waiting.append((step, [readers.submit(read, window) for window in windows]))
        if not waiting:
            return
        step, futures = waiting.popleft()
        yield step, [future.result() for future in futures]


def _predict(predict: Predict, tiles: Sequence[Tile]) -> list[NDArray[np.float32] | None]:
    """Probabilities of each tile; None for those that show nothing, which the model need not see."""
    shown = [pixels_CHW for pixels_CHW, valid_HW in tiles if valid_HW.any()]
    found = iter(predict(shown[0][None] if len(shown) == 1 else np.stack(shown)) if shown else ())
    return [next(found) if valid_HW.any() else None for _, valid_HW in tiles]


def _finish(
    step: Step,
    tiles: Sequence[Tile],
    probabilities: Sequence[NDArray[np.float32] | None],
    layout: Layout,
    weave: Weave,
    workplace: Workplace,
    strip: range,
) -> int:
    """Blend a batch into what its neighbours left, and write what is finished; how many pixels were valid."""
    if step.starts_row:
        weave.start_row()
        weave.clear_before(step.row)
    valid = 0
    for column, (_, valid_HW), probability_KHW in zip(step.columns, tiles, probabilities, strict=True):
        share_KHW = _weighted(probability_KHW, layout, step.row, column)
        done_KHW = weave.add(step.row, column, share_KHW)
        if done_KHW is None or step.row not in strip:
            continue
        rows, columns = layout.rows.finishes(step.row), layout.columns.finishes(column)
        there_HW = valid_HW[: rows[1] - rows[0], : columns[1] - columns[0]]
        valid += int(there_HW.sum())
        for product in workplace.products:
            workplace.write(product, rows, columns, product.of(done_KHW, there_HW))
    return valid


def _weighted(
    probability_KHW: NDArray[np.float32] | None, layout: Layout, row: int, column: int
) -> NDArray[np.float32]:
    if probability_KHW is None:
        return np.zeros((layout.classes, layout.rows.size, layout.columns.size), np.float32)
    weight_HW = np.multiply.outer(layout.rows.weights(row), layout.columns.weights(column))
    probability_KHW = np.ascontiguousarray(probability_KHW)
    probability_KHW *= weight_HW
    return probability_KHW


def memory_needed(layout: Layout, bands: int) -> int:
    """Bytes of tiles and probabilities that are alive at once, besides the model's own."""
    pixels = layout.rows.size * layout.columns.size * layout.batch
    tiles = (AHEAD + BEHIND + 2) * pixels * (4 * bands + 1)
    return int(tiles + (BEHIND + 3) * pixels * 4 * layout.classes)


def disk_needed(size: tuple[int, int], products: Sequence[Product]) -> int:
    """Bytes for raw planes and, at worst as many again with a third for overviews, for the maps made of them."""
    pixels = size[0] * size[1]
    raw = sum(pixels * len(product.planes) * np.dtype(product.dtype).itemsize for product in products)
    return int(raw * (1 + 4 / 3))
