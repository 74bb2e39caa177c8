"""Which samples a contact sheet shows, and what of each: every class once, then evenly through all splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensam.data.checks.survey import ItemFacts, Survey
from sensam.data.contact.pictures import PictureHW3, Stretch, false_colour, overlay
from sensam.data.dataset import Dataset
from sensam.data.raster import Window
from sensam.data.windows import lay_out

MOST = 16
LARGEST = 16_000_000  # pixels of a scene that is shown whole; of larger ones a part
PART = 1024  # rows and columns of that part
PARTS_LOOKED_AT = 9
SIDE = 1400  # pixels, more than a sheet can show


@dataclass(frozen=True, slots=True)
class Pair:
    """One image, and its label if it has one."""

    name: str
    split: str
    image: PictureHW3
    label: PictureHW3 | None

    @property
    def pictures(self) -> tuple[PictureHW3, ...]:
        return (self.image,) if self.label is None else (self.image, self.label)


def shape_of(picture: PictureHW3) -> float:
    """Height over width."""
    return picture.shape[0] / picture.shape[1]


def choose(survey: Survey) -> list[ItemFacts]:
    """Samples with most of each class, the rarest class first, and others evenly spread."""
    items = survey.items
    chosen: dict[int, None] = {}
    shares_NK = np.array([facts.counts_K[:-1] / max(1, facts.counts_K.sum()) for facts in items])
    rarest_first: list[int] = np.argsort(shares_NK.sum(axis=0)).tolist()
    for number in rarest_first:
        best = int(shares_NK[:, number].argmax())
        if shares_NK[best, number] > 0 and len(chosen) < MOST // 2:
            chosen[best] = None
    rest = [place for place in range(len(items)) if place not in chosen]
    spread = np.linspace(0, len(rest) - 1, min(MOST - len(chosen), len(rest))).round().astype(int)
    chosen |= dict.fromkeys(rest[place] for place in spread)
    return [items[place] for place in sorted(chosen)]


def make_pair(dataset: Dataset, facts: ItemFacts, stretch: Stretch) -> Pair:
    """Read one sample and make it visible."""
    item = facts.item
    window = _window(dataset, facts)
    image = false_colour(dataset.sensor.decode(dataset.read(item, window)), stretch)
    usable = facts.mask is not None and facts.mask.refusal is None
    label_HW = dataset.read_label(item, window) if usable else None
    step = max(1, -(-max(image.shape[:2]) // SIDE))
    image = image[::step, ::step]
    if label_HW is None:
        return Pair(item.key, item.split, image, None)
    label = overlay(image, label_HW[::step, ::step], dataset.colours, dataset.ignore)
    return Pair(item.key, item.split, image, label)


def _window(dataset: Dataset, facts: ItemFacts) -> Window | None:
    """The whole sample, or that part of a large scene in which most classes come."""
    rows, columns = facts.size
    if rows * columns <= LARGEST:
        return None
    parts: Sequence[Window] = lay_out(rows, columns, PART)
    parts = parts[:: max(1, len(parts) // PARTS_LOOKED_AT)]
    return max(parts, key=lambda part: _richness(dataset, facts, part))


def _richness(dataset: Dataset, facts: ItemFacts, part: Window) -> tuple[int, int]:
    label_HW = dataset.read_label(facts.item, part) if facts.mask and facts.mask.refusal is None else None
    classes = 0 if label_HW is None else len(np.unique(label_HW[label_HW != dataset.ignore]))
    return classes, part[2] * part[3]
