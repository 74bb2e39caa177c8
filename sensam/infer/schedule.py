"""When tiles are read, predicted and written: beside the model, or between its passes where it needs the processor."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Window

READERS = 2  # threads: while one waits for a disk or a server, another decodes
AHEAD = 2  # batches that are read before they are needed
BEHIND = 2  # batches that may wait to be written

Valid = NDArray[np.bool_]
Tile = tuple[NDArray[np.float32], Valid]
Found = NDArray[np.float32] | None  # probabilities of a tile; None where nothing was shown to the model


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: tiles beside each other in one row, always the same ones, so that a resumed run computes the same."""

    row: int
    columns: tuple[int, ...]
    starts_row: bool
    windows: tuple[Window, ...]


class Work(Protocol):
    """What is done for each step, in this order; `finish` by one thread at a time.

    Steps may wait behind one whose `finish` fails, and theirs is called all the same: it has to do nothing then.
    """

    def read(self, window: Window) -> Tile: ...

    def predict(self, tiles: Sequence[Tile]) -> list[Found]: ...

    def finish(self, step: Step, valid: Sequence[Valid], found: Sequence[Found]) -> None: ...


Schedule = Callable[[Sequence[Step], Work], None]


def beside(steps: Sequence[Step], work: Work) -> None:
    """Reading and writing go on while the model computes: right where it computes on a GPU, or tiles come from afar."""
    with ThreadPoolExecutor(READERS, "read") as readers, ThreadPoolExecutor(1, "write") as writer:
        writing: deque[Future[None]] = deque()
        for step, tiles in _read_ahead(readers, steps, work):
            found = work.predict(tiles)
            valid = [valid_HW for _, valid_HW in tiles]
            del tiles  # pixels are most of what a batch holds, and nobody needs them any more
            while len(writing) >= BEHIND:
                writing.popleft().result()
            writing.append(writer.submit(work.finish, step, valid, found))
        while writing:
            writing.popleft().result()


def between(steps: Sequence[Step], work: Work) -> None:
    """The model has the processor to itself; between its passes all cores read what comes and write what is done.

    A product of matrices waits for the slowest of its threads: one that shares its core with a thread that decodes
    holds up all the others, so that work done beside the model costs its time once for every core.
    """
    coming = iter(steps)
    done: deque[tuple[Step, list[Valid], list[Found]]] = deque()
    with ThreadPoolExecutor(READERS, "read") as readers, ThreadPoolExecutor(1, "write") as writer:
        try:
            while some := _enough_for_all(coming):
                reading = [[readers.submit(work.read, window) for window in step.windows] for step in some]
                writing = []
                while done:  # what is handed on is forgotten at once: interrupted here, none may be finished twice
                    writing.append(writer.submit(work.finish, *done.popleft()))
                for each in writing:
                    each.result()
                waiting = deque([future.result() for future in futures] for futures in reading)
                del reading  # it would keep every tile of the round until its end
                for step in some:
                    tiles = waiting.popleft()
                    done.append((step, [valid_HW for _, valid_HW in tiles], work.predict(tiles)))
                    del tiles
        finally:  # what was predicted is kept even where the model fails
            while done:
                work.finish(*done.popleft())


def _enough_for_all(coming: Iterator[Step]) -> list[Step]:
    """The next steps, as many as give every reader a tile."""
    some = list(islice(coming, 1))
    while some and sum(len(step.windows) for step in some) < READERS and (step := next(coming, None)) is not None:
        some.append(step)
    return some


def _read_ahead(readers: ThreadPoolExecutor, steps: Sequence[Step], work: Work) -> Iterator[tuple[Step, list[Tile]]]:
    """Steps with their tiles, in order; the next ones are being read meanwhile."""
    waiting: deque[tuple[Step, list[Future[Tile]]]] = deque()
    coming = iter(steps)
    while True:
        while len(waiting) <= AHEAD and (step := next(coming, None)) is not None:
            waiting.append((step, [readers.submit(work.read, window) for window in step.windows]))
        if not waiting:
            return
        step, futures = waiting.popleft()
        yield step, [future.result() for future in futures]
