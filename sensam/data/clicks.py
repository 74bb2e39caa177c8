"""Regions of a label map and the clicks that ask for them: drawn by (seed, epoch, index) alone, or fixed to score."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label as connect

from sensam.errors import SettingsError

CLICKS = 17  # separates these random numbers from those that choose windows
DECODED = 4  # logits a patch, along each side
TOUCHING = np.ones((3, 3), np.int8)  # corners count as neighbours

LabelHW = NDArray[np.integer]
RegionHW = NDArray[np.int32]  # 1 to N; 0 where no region is
By = Literal["label", "connected"]


@dataclass(frozen=True, slots=True)
class RegionRule:
    """What counts as one region: all pixels of a label, or each connected piece of them, above an area.

    `legacy` is what SimMAT's loaders do: the smallest label that is left is dropped, whichever it is, and in training
    a region of exactly the smallest area is kept.
    """

    by: By = "label"
    smallest: float = 0.0  # share of the image that a region must exceed
    background: int | None = 0  # this label is no region; None: every label is
    ignore: int = 255
    legacy: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.smallest < 1:
            raise SettingsError(f"smallest is a share of the image, 0 to 1; found {self.smallest:g}.")
        if self.legacy and self.by != "label":
            raise SettingsError(
                "Regions as in the paper are labels, not connected pieces of them. Use protocol strict."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The regions of one image, numbered from 1, and how many pixels each has."""

    region_HW: RegionHW
    areas_N: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.areas_N)

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Pixels of one region."""
        return np.asarray(self.region_HW == number)

    @property
    def masks_NHW(self) -> NDArray[np.bool_]:
        """All of them."""
        return np.asarray(self.region_HW == np.arange(1, len(self) + 1)[:, None, None])


@dataclass(frozen=True, slots=True)
class Click:
    """A pixel, x to the right and y down, and the region it asks for."""

    x: int
    y: int
    region: int


def find_regions(label_HW: LabelHW, rule: RegionRule, *, training: bool = False) -> Regions:
    """The regions that may be asked for, in the order of their labels."""
    least = rule.smallest * label_HW.size
    inclusive = rule.legacy and training
    pieces = [piece for piece in _pieces(label_HW, rule) if len(piece) > least or (inclusive and len(piece) == least)]
    if rule.legacy:
        pieces = pieces[1:]
    region_HW = np.zeros(label_HW.shape, np.int32)
    for number, piece in enumerate(pieces, 1):
        region_HW.flat[piece] = number
    return Regions(region_HW, np.array([len(piece) for piece in pieces], np.int64))


def _pieces(label_HW: LabelHW, rule: RegionRule) -> list[NDArray[np.intp]]:
    """Flat places of the pixels of each candidate."""
    dropped = {rule.ignore} if rule.legacy or rule.background is None else {rule.ignore, rule.background}
    found: list[NDArray[np.intp]] = []
    for value in np.unique(label_HW):
        if int(value) in dropped:
            continue
        mask_HW = label_HW == value
        if rule.by == "label":
            found.append(np.flatnonzero(mask_HW))
            continue
        numbers_HW, count = connect(mask_HW, TOUCHING)
        places = np.flatnonzero(mask_HW)
        order = np.argsort(numbers_HW.flat[places], kind="stable")
        edges = np.searchsorted(numbers_HW.flat[places[order]], np.arange(1, count + 2))
        found += [np.sort(places[order[start:stop]]) for start, stop in pairwise(edges)]
    return found


def training_clicks(regions: Regions, count: int, seed: int, epoch: int, index: int) -> list[Click]:
    """A random pixel of each of `count` random regions; a region comes again only after all others came.

    Decided by the seed, the epoch and the sample's place in it alone, whoever asks. Empty where there is no region.
    """
    if not len(regions):
        return []
    random = np.random.default_rng((seed, CLICKS, epoch, index))
    rounds = -(-count // len(regions))
    chosen = np.concatenate([random.permutation(len(regions)) for _ in range(rounds)])[:count] + 1
    return [_click(regions, int(number), random.random()) for number in chosen]


def scoring_clicks(regions: Regions) -> list[Click]:
    """One fixed click in each region: the middle one of its pixels, read row by row. It lies inside, whatever shape."""
    return [_click(regions, number, 0.5) for number in range(1, len(regions) + 1)]


def _click(regions: Regions, number: int, part: float) -> Click:
    places = np.flatnonzero(regions.region_HW == number)
    y, x = divmod(int(places[int(part * len(places))]), regions.region_HW.shape[1])
    return Click(x, y, number)


def sample_grid(map_HW: NDArray[Any], patch: int, *, legacy: bool = False) -> NDArray[Any]:
    """A map at the decoder's resolution, 4 numbers a patch along each side; what a patch adds beyond the edge is 0.

    Of each cell the middle pixel counts, or as in the paper the first.
    """
    step = patch // DECODED
    padding = [(0, -side % patch) for side in map_HW.shape]
    start = 0 if legacy else step // 2
    return np.pad(map_HW, padding)[start::step, start::step]
