"""What one cell of a comparison leaves behind: a line of JSON with its numbers, and the counts behind them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sensam.files import whole, write_text

Part = Literal["val", "test"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitScores(_Frozen):
    """How well one split was answered; None stands for what no pixel decides."""

    miou: float | None
    accuracy: float | None
    iou: dict[str, float | None]  # by class
    domains: dict[str, float | None]  # mIoU by domain
    images: int


class Costs(_Frozen):
    """What it took."""

    seconds: dict[str, float]  # by stage
    steps: dict[str, int]
    peak_memory_mb: float
    trained: int  # parameters that some stage moves
    total: int  # parameters of what answers in the end
    gflops: float | None  # of answering one window; None where it cannot be counted

    @property
    def all_seconds(self) -> float:
        return sum(self.seconds.values())


class CellRecord(_Frozen):
    """One finished cell: one entry, one seed, one share of the labels."""

    entry: str
    method: str
    seed: int
    share: float
    data: str
    data_hash: str
    costs: Costs
    scores: dict[Part, SplitScores]
    device: str
    versions: dict[str, str]
    command: str  # that trains it again

    def line(self) -> str:
        """One line of JSON; stages and classes in their own order."""
        return json.dumps(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Confusions image by image, so that tests can be paired; and small pictures of what was answered."""

    keys: tuple[str, ...]
    domains: tuple[str, ...]
    confusion_NKK: NDArray[Any]  # true by answered; where clicks are scored N x 1 x 2: sum of IoU, number of regions
    shown: tuple[str, ...] = ()  # keys of the images whose answers are kept
    answers_MHW: NDArray[np.uint8] | None = None
    features_NE: NDArray[np.float32] | None = None  # mean embedding of each image, where there is one

    def save(self, path: Path) -> None:
        """Write whole or not at all; plain arrays only."""
        arrays: dict[str, NDArray[Any]] = {
            "keys": np.array(self.keys, np.str_),
            "domains": np.array(self.domains, np.str_),
            "confusion": self.confusion_NKK,
            "shown": np.array(self.shown, np.str_),
        }
        if self.answers_MHW is not None:
            arrays["answers"] = self.answers_MHW
        if self.features_NE is not None:
            arrays["features"] = self.features_NE
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished:
            np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]  # numpy's stub takes names for options

    @classmethod
    def load(cls, path: Path) -> "Evidence":
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(
                tuple(str(key) for key in stored["keys"]),
                tuple(str(domain) for domain in stored["domains"]),
                stored["confusion"],
                tuple(str(key) for key in stored["shown"]),
                stored.get("answers"),
                stored.get("features"),
            )


def write_lines(path: Path, records: list[CellRecord]) -> None:
    """All cells, one line of JSON each."""
    write_text(path, "".join(f"{record.line()}\n" for record in records))
