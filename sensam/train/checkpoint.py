"""Where a run stands, on disk: trained weights, optimiser, place and best so far; whole or not at all."""

import os
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sensam.errors import InputError
from sensam.files import sync_folder, write_tensors

LAST = "last.pt"
LARGEST_SHARE = 0.05  # of the time, spent on saving


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation of a stage so far, and the file with its weights."""

    score: float
    step: int
    file: str


@dataclass(slots=True)
class Progress:
    """Where a run stands. Random numbers need no place here: every step draws them anew from its own seed."""

    stage: int = 0  # position among the method's stages
    step: int = 0  # done, of the stage
    best: Best | None = None
    stale: int = 0  # validations since the best one
    sums: dict[str, float] = field(default_factory=dict)  # of losses since the last row of the log
    results: dict[str, dict[str, float]] = field(default_factory=dict)  # of stages that are done
    seconds: float = 0.0  # spent on all stages so far
    is_done: bool = False  # the stage, not the run


class Checkpoints:
    """The folder of checkpoints of one run. What a kill leaves half written is large: the next writes over it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._saved_at, self._took = 0.0, 0.0

    @property
    def exists(self) -> bool:
        return (self.folder / LAST).is_file()

    def is_due(self) -> bool:
        """Whether saving now would cost only a small share of the time since it was done last."""
        return time.monotonic() - self._saved_at >= self._took / LARGEST_SHARE

    def save(self, progress: Progress, weights: Mapping[str, Tensor], optimisers: Sequence[Mapping[str, Any]]) -> None:
        """Write `last`, then remove best weights that it does not speak of."""
        started = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "progress": asdict(progress),
            "weights": dict(weights),
            "optimisers": [dict(each) for each in optimisers],
        }
        partial = self.folder / f".{LAST}.partial"
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / LAST)
        sync_folder(self.folder)  # before what an older `last` speaks of goes
        kept = {progress.best.file} if progress.best else set()
        for path in self.folder.glob("best-*.safetensors"):
            if path.name not in kept:
                path.unlink()
        self._saved_at, self._took = time.monotonic(), time.monotonic() - started

    def load(self, device: torch.device) -> tuple[Progress, dict[str, Tensor], list[dict[str, Any]]]:
        """Progress, weights and the states of the optimisers."""
        path = self.folder / LAST
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            progress = Progress(**state["progress"])
            progress.best = Best(**state["progress"]["best"]) if state["progress"]["best"] else None
            return progress, state["weights"], state["optimisers"]
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error

    def keep_best(self, name: str, weights: Mapping[str, Tensor]) -> None:
        """Write weights under a name of their own; the next `save` speaks of them and settles whether they stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{name}.partial"
        write_tensors(partial, {key: value.detach().cpu().contiguous() for key, value in weights.items()})
        partial.replace(self.folder / name)
        sync_folder(self.folder)

    def read_best(self, best: Best) -> dict[str, Tensor]:
        """The weights that `keep_best` wrote."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / best.file
        try:
            weights: dict[str, Tensor] = load_file(path)
        except (OSError, SafetensorError) as error:
            raise _unreadable(path, error) from error
        return weights


def _unreadable(path: Path, error: Exception) -> InputError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path} cannot be read ({first}). Remove {path.parent.parent} and start again.")
