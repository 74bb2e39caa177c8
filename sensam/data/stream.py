"""The samples of a split in a seeded order: each a pure function of (seed, epoch, index), whoever asks for it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sensam.data.augment import Augment, Pose
from sensam.data.dataset import Dataset
from sensam.data.dice import Dice
from sensam.data.feed import Feed
from sensam.data.pairing import Item
from sensam.data.raster import Window
from sensam.data.sample import Sample, lit, posed, read_sample, resized
from sensam.data.views import Views, grid, name_view
from sensam.data.windows import draw, lay_out, move_inside, within
from sensam.errors import InputError, SettingsError

ORDER, PLACE, LIGHT, SEARCH = range(4)  # separate random numbers, so that one setting does not disturb another

Fit = Literal["crop", "stretch"]
Edges = Literal["cut", "inside"]


class Stream(Protocol):
    """What a loader needs: samples by epoch and index, and how many an epoch has."""

    epoch: int
    ignore: int

    def __len__(self) -> int: ...
    def __getitem__(self, place: int | tuple[int, int]) -> Sample: ...


class TrainingStream:
    """Random windows of scenes, whole tiles or crops of them, augmented, shuffled anew each epoch.

    `stream[index]` is a sample of the stream's own epoch, `stream[epoch, index]` of any. A scene comes as often as
    windows of `size` fit into it; `length` sets the number of samples of an epoch instead. `views="grid"` takes the
    same windows in every epoch, so that features of them can be kept.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        size: int,
        seed: int = 0,
        epoch: int = 0,
        augment: Augment | None = None,
        labels: bool = True,
        length: int | None = None,
        fit: Fit = "crop",
        views: Views = "random",
    ) -> None:
        if size < 1 or seed < 0 or (length is not None and length < 1):
            raise SettingsError(f"size {size} and length {length} must be at least 1, seed {seed} at least 0.")
        self.dataset, self.split, self.size, self.seed, self.epoch = dataset, split, size, seed, epoch
        self.augment = augment or Augment.for_geometry(dataset.sensor.geometry)
        self.labels, self.length, self.fit, self.views = labels, length, fit, views
        if views == "grid" and self.augment.scale != (1.0, 1.0):
            raise SettingsError("views: grid takes the same windows every time. Leave scale out of augment.")
        self.items = _items(dataset, split, labels)
        self.ignore = dataset.ignore
        self._feed = Feed(dataset)
        self._dice = [Dice(seed, purpose) for purpose in (ORDER, PLACE, LIGHT, SEARCH)]
        self._searched: dict[Item, tuple[Window, ...]] = {}
        self._order: tuple[tuple[int, int], NDArray[np.int64]] | None = None

    @cached_property
    def _visits(self) -> NDArray[np.int64]:
        """Positions of the items, each as often as windows fit into it."""
        if self.fit == "stretch":
            return np.arange(len(self.items))
        sizes = [self.dataset.size(item) for item in self.items]
        if self.views == "grid":
            return np.repeat(np.arange(len(self.items)), [len(grid(*size, self.size)) for size in sizes])
        counts = [max(1, rows // self.size) * max(1, columns // self.size) for rows, columns in sizes]
        return np.repeat(np.arange(len(self.items)), counts)

    @property
    def comes_again(self) -> bool:
        """Whether every view is one of a few of its image, so that what is computed of it can be kept."""
        if self.augment.has_light or self.augment.scale != (1.0, 1.0):
            return False
        is_fixed = self.views == "grid" or self.fit == "stretch"
        if is_fixed and not self.augment.roll:
            return True
        sizes = {self.dataset.size(item) for item in self.items}
        if self.augment.roll and (self.fit == "stretch" or any(columns <= self.size for _, columns in sizes)):
            return False  # rolled by any part of the width
        return is_fixed or all(max(size) <= self.size for size in sizes)

    def __len__(self) -> int:
        return self.length or len(self._visits)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        epoch, index = place if isinstance(place, tuple) else (self.epoch, place)
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        for neighbour in range(len(self._visits)):  # nobody can learn from a window that shows nothing
            sample = self._sample(self._visit(epoch, index + neighbour), (epoch, index, neighbour))
            if sample is not None:
                return sample
        raise InputError(
            f"No window of split {self.split} has a {'labelled ' if self.labels else ''}pixel that is valid in every "
            "band. `sensam check` shows what is wrong with the files; leave out a band without data with `bands`."
        )

    def _visit(self, epoch: int, index: int) -> int:
        """Which visit comes at this place of an epoch: every one once before any comes again."""
        cycle, place = divmod(index, len(self._visits))
        if self._order is None or self._order[0] != (epoch, cycle):
            self._order = (epoch, cycle), self._random(ORDER, epoch, cycle, 0).permutation(len(self._visits))
        return int(self._order[1][place])

    def _random(self, purpose: int, *place: int) -> np.random.Generator:
        return self._dice[purpose].at(*place)

    def _sample(self, visit: int, place: tuple[int, int, int]) -> Sample | None:
        """A window of an item, changed as its place says; None where nothing in the item can be learnt."""
        item = self.items[self._visits[visit]]
        random = self._random(PLACE, *place)
        pose = self.augment.draw_pose(random)
        window, shape = self._window_of_grid(visit) or self._window(item, pose, random)
        sample = resized(self._read(item, window), *shape)
        if not sample.shows_something(self.ignore):
            if self.views == "grid":
                return None
            pose = pose.enlarging()  # so that the pixel that is found is not dropped again
            found = self._find(item, pose, self._random(SEARCH, *place))
            if found is None:
                return None
            window, shape = found
            sample = resized(self._read(item, window), *shape)
        if window[3] < self.dataset.size(item)[1]:
            pose = pose.unrolled()
        comes_again = self.views == "grid" or window[2:] == self.dataset.size(item)
        view = name_view(window, pose, comes_again=comes_again and not self.augment.has_light)
        sample = replace(posed(sample, pose), view=view)
        if not self.augment.has_light:
            return sample
        random = self._random(LIGHT, *place)
        return lit(sample, self.augment.draw_light(random, len(sample.gain_C)), self.dataset.sensor, random)

    def _window_of_grid(self, visit: int) -> tuple[Window, tuple[int, int]] | None:
        """The window that belongs to a visit; None where it is drawn."""
        if self.views != "grid" or self.fit == "stretch":
            return None
        item = self._visits[visit]
        window = grid(*self.dataset.size(self.items[item]), self.size)[visit - int(np.searchsorted(self._visits, item))]
        return window, (window[2], window[3])

    def _read(self, item: Item, window: Window) -> Sample:
        return read_sample(self._feed, item, window, labels=self.labels)

    def _find(self, item: Item, pose: Pose, random: np.random.Generator) -> tuple[Window, tuple[int, int]] | None:
        """A window around a pixel that shows something, wherever in the item there is one."""
        cells = self._cells(item)
        for position in random.permutation(len(cells)):
            row, column, _, _ = cells[position]
            shown = np.argwhere(self._read(item, cells[position]).shown_HW(self.ignore))
            if len(shown):
                down, right = shown[random.integers(len(shown))]
                return self._window(item, pose, random, (row + int(down), column + int(right)))
        return None

    def _cells(self, item: Item) -> tuple[Window, ...]:
        """The parts of an item in which to search; those without a label are found once and left out."""
        if item not in self._searched:
            cells = lay_out(*self.dataset.size(item), self.size)
            labels = ((cell, self.dataset.read_label(item, cell) if self.labels else None) for cell in cells)
            kept = (cell for cell, label_HW in labels if label_HW is None or (label_HW != self.ignore).any())
            self._searched[item] = tuple(kept)
        return self._searched[item]

    def _window(
        self, item: Item, pose: Pose, random: np.random.Generator, around: tuple[int, int] | None = None
    ) -> tuple[Window, tuple[int, int]]:
        """What to read, and the size it becomes."""
        rows, columns = self.dataset.size(item)
        if self.fit == "stretch":
            return (0, 0, rows, columns), (self.size, self.size)
        wanted = max(1, round(self.size / pose.magnification))
        window = draw(random, rows, columns, wanted, wanted, around=around)
        return window, (self._magnified(window[2], wanted, pose), self._magnified(window[3], wanted, pose))

    def _magnified(self, side: int, wanted: int, pose: Pose) -> int:
        return self.size if side == wanted else min(self.size, max(1, round(side * pose.magnification)))


class EvaluationStream:
    """Every pixel of a split exactly once and in order: windows of `size` side by side, or whole images without it.

    At the far edges of a scene windows are cut to what is left. With `edges="inside"` they are moved inside instead,
    so that a model sees nothing smaller than it learnt from, and labels that another window holds are ignored.
    """

    epoch = 0

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        size: int | None = None,
        labels: bool = True,
        fit: Fit = "crop",
        edges: Edges = "cut",
    ) -> None:
        if fit == "stretch" and size is None:
            raise SettingsError("fit: stretch needs a size to stretch to.")
        self.dataset, self.split, self.size, self.labels, self.fit = dataset, split, size, labels, fit
        self.edges = edges
        self.items = _items(dataset, split, labels)
        self.ignore = dataset.ignore
        self._feed = Feed(dataset)

    @cached_property
    def places(self) -> tuple[tuple[Item, Window], ...]:
        """Which part of which item each sample answers for."""
        return tuple((item, part) for item in self.items for part in self._parts(item))

    def _parts(self, item: Item) -> tuple[Window, ...]:
        rows, columns = self.dataset.size(item)
        if self.size is None or self.fit == "stretch":
            return ((0, 0, rows, columns),)
        return lay_out(rows, columns, self.size)

    def window(self, index: int) -> Window:
        """What a sample reads: its part of the item, or the full window around it."""
        item, part = self.places[index]
        if self.edges == "cut" or self.size is None or self.fit == "stretch":
            return part
        return move_inside(part, *self.dataset.size(item), self.size)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        index = place[1] if isinstance(place, tuple) else place
        item, part = self.places[index]
        window = self.window(index)
        sample = read_sample(self._feed, item, window, labels=self.labels)
        sample = replace(sample, view=name_view(window, Pose(), comes_again=True))
        if window != part and sample.label_HW is not None:
            label_HW = np.full_like(sample.label_HW, self.ignore)
            inside = within(part, window)
            label_HW[inside] = sample.label_HW[inside]
            sample = replace(sample, label_HW=label_HW)
        return resized(sample, self.size, self.size) if self.fit == "stretch" and self.size else sample


def _items(dataset: Dataset, split: str, labels: bool) -> tuple[Item, ...]:
    items = dataset.labelled(split) if labels else dataset.items(split)
    if not items:
        raise InputError(f"Split {split} of {dataset.name} is empty. `sensam check` shows what was found.")
    return items
