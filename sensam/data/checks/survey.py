"""One look at every file of a data set: the facts from which statistics, problems and pictures are made."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensam.data.checks.bands import BandWatch
from sensam.data.checks.masks import MaskFacts, look_at_mask
from sensam.data.dataset import Dataset
from sensam.data.labels import LabelHW
from sensam.data.pairing import Item
from sensam.data.raster import Raster, RasterInfo, Scaling, Window
from sensam.data.windows import lay_out
from sensam.errors import SensamError

BLOCK = 1024  # pixels; larger scenes are read in blocks, so that no scene must fit into memory
PIXELS_KEPT = 200_000  # of all images together, for histograms and to ask what a single band gives away
THUMBNAIL = 48  # rows and columns of the small picture by which images are compared


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What one sample holds."""

    item: Item
    info: RasterInfo
    size: tuple[int, int]
    digest: bytes  # of the stored pixels
    thumbnail_CHW: NDArray[np.float32]  # physical values on a coarse grid, NaN where not valid
    valid_C: NDArray[np.float64]  # share of pixels
    low_C: NDArray[np.float64]  # of valid, physical values; infinite where there are none
    high_C: NDArray[np.float64]
    outside_C: NDArray[np.float64]  # share of pixels that only the sensor's valid range excludes
    counts_K: NDArray[np.int64]  # labelled pixels by class, the ignored ones last; all 0 without a usable mask
    mask: MaskFacts | None
    seconds: float  # to read and decode the image


@dataclass(slots=True)
class Survey:
    """What all samples hold together."""

    dataset: Dataset
    bands: list[BandWatch]
    items: list[ItemFacts] = field(default_factory=list)
    unreadable: list[tuple[Item, SensamError]] = field(default_factory=list)
    kept: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = field(default_factory=list)  # (C, P) values, P labels

    def of(self, split: str) -> list[ItemFacts]:
        """The facts of one split."""
        return [facts for facts in self.items if facts.item.split == split]

    def counts(self, split: str) -> NDArray[np.int64]:
        """Pixels by class in a split, the ignored ones last."""
        none = np.zeros(len(self.dataset.classes) + 1, np.int64)
        return np.sum([none, *(facts.counts_K for facts in self.of(split))], axis=0)

    def sample(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Some pixels of all images (bands x pixels), and their labels; -1 where there is none."""
        empty = np.zeros((len(self.bands), 0), np.float32), np.zeros(0, np.int64)
        values, labels = zip(empty, *self.kept, strict=True)
        return np.concatenate(values, axis=1), np.concatenate(labels)


def survey(dataset: Dataset, on_item: Callable[[Item], None] = lambda _: None) -> Survey:
    """Read every sample once."""
    # One odd value must not hide all the rest.
    lenient = dataset.with_label(dataset.spec.label.model_copy(update={"unknown": "ignore"}))
    found = Survey(dataset, [BandWatch() for _ in dataset.sensor.bands])
    everything = [item for items in dataset.splits.values() for item in items]
    for item in everything:
        try:
            found.items.append(_look(lenient, item, found, PIXELS_KEPT // len(everything)))
        except SensamError as mistake:
            found.unreadable.append((item, mistake))
        on_item(item)
    return found


@dataclass(slots=True)
class _Tally:
    """What is added up over the blocks of one image."""

    valid_C: NDArray[np.float64]
    low_C: NDArray[np.float64]
    high_C: NDArray[np.float64]
    outside_C: NDArray[np.float64]
    counts_K: NDArray[np.int64]

    @classmethod
    def empty(cls, bands: int, classes: int) -> "_Tally":
        zeros = np.zeros(bands)
        return cls(zeros, zeros + np.inf, zeros - np.inf, zeros, np.zeros(classes + 1, np.int64))

    def add(self, stored: Raster, decoded: Raster, dataset: Dataset) -> None:
        nodata = [np.nan if band.nodata is None else band.nodata for band in dataset.sensor.bands]
        present_CHW = stored.valid_CHW & np.isfinite(stored.pixels_CHW)
        present_CHW &= stored.pixels_CHW != np.array(nodata, np.float32)[:, None, None]
        self.valid_C = self.valid_C + decoded.valid_CHW.sum((1, 2))
        self.outside_C = self.outside_C + (present_CHW & ~decoded.valid_CHW).sum((1, 2))

    def add_labels(self, label_HW: LabelHW, valid_HW: NDArray[np.bool_], ignore: int) -> None:
        numbers = np.where(valid_HW & (label_HW != ignore), label_HW, len(self.counts_K) - 1)
        self.counts_K = self.counts_K + np.bincount(numbers.ravel(), minlength=len(self.counts_K))


def _look(dataset: Dataset, item: Item, found: Survey, keep: int) -> ItemFacts:
    """Read one sample block by block."""
    rows, columns = dataset.size(item)
    mask = look_at_mask(dataset, item)
    usable = mask is not None and mask.refusal is None
    tally = _Tally.empty(len(dataset.sensor.bands), len(dataset.classes))
    digest, seconds = hashlib.blake2b(digest_size=16), 0.0
    thumbnail_CHW = np.full((len(dataset.sensor.bands), THUMBNAIL, THUMBNAIL), np.nan, np.float32)
    random = np.random.default_rng(len(found.items))
    for window in lay_out(rows, columns, BLOCK):
        start = time.perf_counter()
        stored = dataset.read(item, window)
        decoded = dataset.sensor.decode(stored)
        seconds += time.perf_counter() - start
        digest.update(stored.pixels_CHW.tobytes())
        tally.add(stored, decoded, dataset)
        _watch(found.bands, stored, decoded, tally, dataset, item.split)
        label_HW = dataset.read_label(item, window) if usable else None
        if label_HW is not None:
            tally.add_labels(label_HW, decoded.valid_HW, dataset.ignore)
        share = keep * window[2] * window[3] // (rows * columns)
        found.kept.append(_keep(decoded, label_HW, dataset.ignore, random, share))
        _draw_thumbnail(thumbnail_CHW, decoded, window, (rows, columns))
    pixels = rows * columns
    return ItemFacts(
        item=item,
        info=dataset.info(item),
        size=(rows, columns),
        digest=digest.digest(),
        thumbnail_CHW=thumbnail_CHW,
        valid_C=tally.valid_C / pixels,
        low_C=tally.low_C,
        high_C=tally.high_C,
        outside_C=tally.outside_C / pixels,
        counts_K=tally.counts_K,
        mask=mask,
        seconds=seconds,
    )


def _watch(
    watches: list[BandWatch], stored: Raster, decoded: Raster, tally: _Tally, dataset: Dataset, split: str
) -> None:
    stated: tuple[Scaling | None, ...] = stored.scaling or (None,) * len(watches)
    for place, (watch, band) in enumerate(zip(watches, dataset.sensor.bands, strict=True)):
        packing = band.scaling(stated[place])
        moments = watch.add(stored.pixels_CHW[place], decoded.valid_CHW[place], packing, split)
        tally.low_C[place] = min(tally.low_C[place], moments.low)
        tally.high_C[place] = max(tally.high_C[place], moments.high)


def _keep(
    decoded: Raster, label_HW: LabelHW | None, ignore: int, random: np.random.Generator, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Some pixels where every band is valid, and their labels; -1 where there is none."""
    places = np.flatnonzero(decoded.valid_HW)
    if len(places) > count:
        places = random.choice(places, max(1, count), replace=False)
    values_CP = decoded.pixels_CHW.reshape(len(decoded.bands), -1)[:, places]
    if label_HW is None:
        return values_CP, np.full(len(places), -1)
    label_P = label_HW.ravel()[places].astype(np.int64)
    return values_CP, np.where(label_P == ignore, -1, label_P)


def _draw_thumbnail(thumbnail_CHW: NDArray[np.float32], decoded: Raster, window: Window, size: tuple[int, int]) -> None:
    """Fill in the coarse grid points that lie in this block."""
    row, column, rows, columns = window
    row_of = ((np.arange(THUMBNAIL) + 0.5) * size[0] / THUMBNAIL).astype(int)
    column_of = ((np.arange(THUMBNAIL) + 0.5) * size[1] / THUMBNAIL).astype(int)
    down = np.flatnonzero((row_of >= row) & (row_of < row + rows))
    right = np.flatnonzero((column_of >= column) & (column_of < column + columns))
    picked = np.ix_(np.arange(len(decoded.bands)), row_of[down] - row, column_of[right] - column)
    values = np.where(decoded.valid_CHW[picked], decoded.pixels_CHW[picked], np.nan)
    thumbnail_CHW[:, down[:, None], right] = values
