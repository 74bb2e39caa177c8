"""What a comparison found: scores by entry, seed and share, the ranking, the costs, and which entry to take."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.evaluate.records import CellRecord, Evidence, Part
from sensam.evaluate.statistics import Confusion, Standing, rank, score_of, summary
from sensam.train.confusion import Confusion as ClassMatrix

CellKey = tuple[str, int, float]  # entry, seed, share


@dataclass(frozen=True)
class Outcome:
    """All finished cells, with the counts behind them."""

    title: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    entries: tuple[str, ...]  # in the order of the plan
    seeds: tuple[int, ...]
    shares: tuple[float, ...]
    records: Mapping[CellKey, CellRecord]
    evidence: Mapping[CellKey, Evidence]
    part: Part
    skipped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()  # of these, the cells that were tried, with the reason

    def __post_init__(self) -> None:
        if not self.records:
            raise InputError(f"{self.title} has no finished cell. {self._what_to_do}")

    @property
    def _what_to_do(self) -> str:
        if not self.failed:
            return "Run the comparison first."
        reasons = "; ".join(reason.rstrip(".") for reason in self.failed)
        return f"What failed: {reasons}. Mend it, then compare again with --retry."

    @property
    def full(self) -> float:
        """The largest share of the labels."""
        return max(share for _, _, share in self.records)

    def complete(self, share: float) -> dict[str, tuple[int, ...]]:
        """Entries that finished at a share, with the seeds for which they did."""
        found = {
            entry: tuple(seed for seed in self.seeds if (entry, seed, share) in self.records) for entry in self.entries
        }
        return {entry: seeds for entry, seeds in found.items() if seeds}

    def confusions(self, share: float) -> dict[str, Confusion]:
        """S x N x K x K of every entry, on the seeds that all of them finished: only equal things are paired."""
        done = self.complete(share)
        shared = [seed for seed in self.seeds if all(seed in seeds for seeds in done.values())]
        if not shared:
            return {}
        return {entry: np.stack([self.evidence[entry, seed, share].confusion_NKK for seed in shared]) for entry in done}

    @cached_property
    def standings(self) -> list[Standing]:
        """The ranking at the full share."""
        confusions = self.confusions(self.full)
        if not confusions:
            raise InputError(
                f"{self.title} has no seed that every entry finished, so nothing is paired. Go on with it."
            )
        if not all(np.isfinite(score_of(confusion.sum(1))).all() for confusion in confusions.values()):
            split = "test" if self.part == "test" else "validation"
            raise InputError(
                f"No pixel of the {split} split of {self.title} is labelled, so there is no mIoU to rank by. "
                "Label some of its images, or name another split."
            )
        return rank(confusions)

    @cached_property
    def first_seed(self) -> int:
        """The seed whose pictures are shown: the first that every entry finished, chosen before any score is seen."""
        done = self.complete(self.full).values()
        return next((seed for seed in self.seeds if all(seed in seeds for seeds in done)), self.seeds[0])

    def costs(self, entry: str) -> CellRecord:
        """The cell with the middle training time of an entry at the full share."""
        found = sorted(self.of(entry), key=lambda record: record.costs.all_seconds)
        return found[(len(found) - 1) // 2]

    def of(self, entry: str) -> list[CellRecord]:
        """Cells of an entry at the full share."""
        return [record for (name, _, share), record in self.records.items() if name == entry and share == self.full]

    def curve(self, entry: str) -> dict[float, tuple[float, float]]:
        """Mean and deviation over seeds at every share."""
        found = {}
        for share in self.shares:
            scores = [
                float(score_of(self.evidence[entry, seed, share].confusion_NKK.sum(0)))
                for seed in self.seeds
                if (entry, seed, share) in self.evidence
            ]
            if scores:
                found[share] = summary(scores)
        return found

    def pooled(self, entry: str) -> NDArray[np.int64]:
        """Confusion over all seeds and images at the full share."""
        return np.sum([self.evidence[key].confusion_NKK.sum(0) for key in self._keys(entry)], axis=0)

    def class_scores(self, entry: str) -> dict[str, tuple[float, float]]:
        """Mean and deviation over seeds of every class's IoU, of those that a pixel decides."""
        if not self.classes:
            return {}
        rows = [_iou(self.evidence[key].confusion_NKK.sum(0)) for key in self._keys(entry)]
        columns = zip(self.classes, np.array(rows).T, strict=True)
        return {name: summary(column.tolist()) for name, column in columns if not np.isnan(column).any()}

    def metrics(self, entry: str) -> dict[str, tuple[float, float]]:
        """Mean and deviation over seeds of every score that one number says; nothing where clicks were judged."""
        if not self.classes:
            return {}
        found = [
            ClassMatrix(self.evidence[key].confusion_NKK.sum(0), self.classes).summary() for key in self._keys(entry)
        ]
        return {name: summary([each[name] for each in found]) for name in found[0]}

    def domain_scores(self, entry: str) -> dict[str, tuple[float, float]]:
        """Mean and deviation over seeds of the mIoU in every domain."""
        names = sorted({name for key in self._keys(entry) for name in self.evidence[key].domains if name})
        found = {}
        for name in names:
            scores = []
            for key in self._keys(entry):
                inside = np.array([domain == name for domain in self.evidence[key].domains])
                if inside.any():
                    scores.append(float(score_of(self.evidence[key].confusion_NKK[inside].sum(0))))
            found[name] = summary(scores)
        return found

    def _keys(self, entry: str) -> list[CellKey]:
        return [(entry, seed, self.full) for seed in self.seeds if (entry, seed, self.full) in self.evidence]


def _iou(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    hits = confusion_KK.diagonal()
    union = confusion_KK.sum(0) + confusion_KK.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)
