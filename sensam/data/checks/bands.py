"""What one band holds over a whole data set: statistics by split, and whether it looks measured or drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Scaling
from sensam.data.statistics import BandGatherer, Moments

MOST_DISTINCT = 256  # values counted one by one; more are simply many
DRAWN = 0.75  # share of equal neighbours in what is drawn
FEW = 128  # values of a map, beside measured bands that have many
VERY_FEW = 12  # values of a map, whatever the other bands have


@dataclass(slots=True)
class BandWatch:
    """Gathers one band while blocks of images go by."""

    gatherer: BandGatherer = field(default_factory=BandGatherer)
    splits: dict[str, Moments] = field(default_factory=dict)
    fractions: set[float] = field(default_factory=set)  # stored numbers, if not all are whole, until there are many
    pairs: int = 0  # of valid neighbours in a row
    equal_pairs: int = 0

    def add(self, stored_HW: NDArray[np.float32], valid_HW: NDArray[np.bool_], packing: Scaling, split: str) -> Moments:
        """Take in a block of an image; returns the moments of its physical values."""
        stored_P = stored_HW[valid_HW]
        moments = self.gatherer.add(stored_P, packing)
        self.splits.setdefault(split, Moments()).merge(moments)
        if self.gatherer.ranks.distinct_whole is None and len(self.fractions) <= MOST_DISTINCT:
            self.fractions.update(np.unique(stored_P)[: MOST_DISTINCT + 1].tolist())
        both_HW = valid_HW[:, 1:] & valid_HW[:, :-1]
        self.pairs += int(both_HW.sum())
        self.equal_pairs += int((both_HW & (stored_HW[:, 1:] == stored_HW[:, :-1])).sum())
        return moments

    @property
    def distinct(self) -> int:
        """How many different numbers there are; fractions are counted only until there are many."""
        whole = self.gatherer.ranks.distinct_whole
        return len(self.fractions) if whole is None else whole

    @property
    def evenness(self) -> float:
        """Share of neighbours that are exactly equal: near 0 in what is measured, near 1 in what is drawn."""
        return self.equal_pairs / self.pairs if self.pairs else 0.0


def is_drawn(bands: Sequence[BandWatch], band: int) -> bool:
    """A map has few values in large patches, where the measured bands beside it have many."""
    watch = bands[band]
    others_have_many = any(other.distinct > MOST_DISTINCT for other in bands)
    return watch.evenness >= DRAWN and watch.distinct <= (FEW if others_have_many else VERY_FEW)
