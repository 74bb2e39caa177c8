"""What training costs, counted over interruptions: seconds on a stopwatch that is kept on disk, and peak memory."""

import json
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from sensam.files import write_text

KEPT_EVERY = 5.0  # seconds: the most that an interruption loses


class Stopwatch:
    """Seconds spent inside the block, added to those of earlier processes that were interrupted there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = float(json.loads(path.read_text())["seconds"]) if path.is_file() else 0.0
        self._stopped = threading.Event()

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self._started

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()
        self._write()

    def _keep(self) -> None:
        while not self._stopped.wait(KEPT_EVERY):
            self._write()

    def _write(self) -> None:
        write_text(self.path, json.dumps({"seconds": self.seconds}))


def forget_peak() -> None:
    """Begin to watch memory anew, where the system lets a process do so."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed: the peak then counts from the start of the process
        return


def peak_megabytes() -> float:
    """The most memory held since `forget_peak`: of the accelerator where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
