"""Where the tasks of an archive run: this process, several of them, or a Ray cluster."""

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sensam.errors import MissingExtraError, SettingsError
from sensam.infer.archive import Answer, Engine, Order, Pool, Task, work

LOOK = 1.0  # seconds between two looks for the parent
ATTEMPTS = 3  # at a task whose worker died


class Here:
    """One after another, in this process."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._tasks: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def answers(self) -> Iterator[tuple[Task, Answer]]:
        while self._tasks:
            task = self._tasks.popleft()
            yield task, work(self.order, task)


class Processes:
    """Several processes of this machine. When one dies, what it and its pool held is done again in new ones."""

    def __init__(self, order: Order, workers: int) -> None:
        self.order, self.workers = order, workers
        self._waiting: dict[Future[Answer], tuple[Task, int]] = {}
        self._pool = self._start()

    def submit(self, task: Task) -> None:
        self._submit(task, 1)

    def answers(self) -> Iterator[tuple[Task, Answer]]:
        with self._pool:
            while self._waiting:
                done, _ = wait(self._waiting, return_when=FIRST_COMPLETED)
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    yield from self._begin_again()
                    continue
                for future in done:
                    task, _ = self._waiting.pop(future)
                    yield task, future.result()

    def _submit(self, task: Task, attempt: int) -> None:
        try:
            future = self._pool.submit(work, self.order, task)
        except BrokenProcessPool as error:  # the next pool takes it in; this one has not tried it
            future, attempt = Future(), attempt - 1
            future.set_exception(error)
        self._waiting[future] = task, attempt

    def _begin_again(self) -> Iterator[tuple[Task, Answer]]:
        """A pool breaks as a whole: everything that has no answer goes to a new one, not without end."""
        held = dict(self._waiting)
        self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._start()
        for future, (task, attempt) in held.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                yield task, future.result()
            elif attempt == ATTEMPTS:
                yield task, Answer(error=f"its worker died {ATTEMPTS} times, perhaps for want of memory")
            else:
                self._submit(task, attempt + 1)

    def _start(self) -> ProcessPoolExecutor:
        # A forked child would inherit the threads of GDAL and PyTorch in the middle of their work.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, initializer=end_with, initargs=(os.getpid(),))


def end_with(parent: int) -> None:
    """End this process as soon as its parent is gone: one that is killed cannot tell its workers to stop."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        os._exit(1)  # whatever the main thread does; what it has written so far is gone on with

    threading.Thread(target=watch, daemon=True).start()


class RayCluster:
    """A Ray cluster, or this machine as one. Ray itself runs a task again when its worker or node dies."""

    def __init__(self, order: Order, address: str | None, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("Mapping an archive with --engine ray", "scale") from error
        self._ray: Any = ray
        self._mine = not ray.is_initialized()
        if self._mine:
            try:
                ray.init(
                    address=address,
                    num_cpus=None if address else workers,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = address or "on this machine"
                raise SettingsError(f"No Ray cluster answers {where} ({str(error).splitlines()[0]}).") from error
        self._work = ray.remote(work).options(max_retries=ATTEMPTS)
        self._order = ray.put(order)
        self._waiting: dict[Any, Task] = {}

    def submit(self, task: Task) -> None:
        self._waiting[self._work.remote(self._order, task)] = task

    def answers(self) -> Iterator[tuple[Task, Answer]]:
        try:
            while self._waiting:
                (ready,), _ = self._ray.wait(list(self._waiting), num_returns=1)
                task = self._waiting.pop(ready)
                try:
                    answer = self._ray.get(ready)
                except self._ray.exceptions.RayError as error:
                    answer = Answer(error=f"its worker failed ({str(error).splitlines()[0]})")
                yield task, answer
        finally:
            if self._mine:
                self._ray.shutdown()


def open_pool(order: Order, engine: Engine, workers: int, address: str | None) -> Pool:
    """The pool that the options name."""
    if engine == "ray":
        return RayCluster(order, address, workers)
    if address is not None:
        raise SettingsError("--address belongs to --engine ray.")
    return Here(order) if workers == 1 else Processes(order, workers)
