"""The page of a contact sheet: header, legend, pairs of image and label, and the values of the bands."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sensam.data.checks.survey import Survey
from sensam.data.contact.choice import Pair, choose, make_pair, shape_of
from sensam.data.contact.pictures import STRETCH, Stretch
from sensam.data.contact.plots import INK, LINE, PAPER, SOFT, Box, draw_values, plot_height
from sensam.errors import InputError
from sensam.files import whole

WIDTH = 15.0  # inches, as all lengths here
DPI = 130
MARGIN = 0.6
GAP = 0.08  # between an image and its label
GUTTER = 0.36  # between pairs
CAPTION = 0.34
HEADER = 1.0
LEGEND_ROW = 0.32
USUAL_HEIGHT = 9.0  # of all rows together
TALLEST = 6.5  # row
MOST_IN_A_ROW = 8  # pictures


@dataclass(frozen=True, slots=True)
class Row:
    """Pairs of one height that fill a line from margin to margin."""

    pairs: tuple[Pair, ...]
    height: float

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> "Row":
        images = [picture for pair in pairs for picture in pair.pictures]
        gaps = (len(pairs) - 1) * GUTTER + (len(images) - len(pairs)) * GAP
        full = (WIDTH - 2 * MARGIN - gaps) / sum(1 / shape_of(picture) for picture in images)
        return cls(tuple(pairs), min(full, TALLEST))


@dataclass(frozen=True, slots=True)
class Page:
    """A figure measured in inches from its upper left corner."""

    figure: Figure
    height: float

    @classmethod
    def new(cls, height: float) -> "Page":
        figure = Figure(figsize=(WIDTH, height), dpi=DPI)
        FigureCanvasAgg(figure)
        return cls(figure, height)

    def box(self, left: float, top: float, width: float, height: float) -> Box:
        return left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height

    def text(self, left: float, top: float, text: str, **style: Any) -> float:
        """Write a line; returns where it ends."""
        written = self.figure.text(left / WIDTH, 1 - top / self.height, text, va="baseline", **style)
        return float(written.get_window_extent().x1) / DPI

    def line(self, top: float) -> None:
        left, bottom, width, _ = self.box(MARGIN, top, WIDTH - 2 * MARGIN, 0)
        self.figure.add_artist(Rectangle((left, bottom), width, 0.008 / self.height, color=LINE, linewidth=0))


def draw_contact_sheet(survey: Survey, path: Path) -> Path:
    """Draw the sheet; the file appears when it is complete."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} must end in .png: a contact sheet is a picture.")
    if not survey.items:
        raise InputError(f"No image of {survey.dataset.name} can be read, so there is nothing to draw.")
    stretch = Stretch.of(survey.dataset.sensor, [watch.gatherer for watch in survey.bands])
    pairs = [make_pair(survey.dataset, facts, stretch) for facts in choose(survey)]
    figure = _draw(survey, pairs, stretch)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=DPI, facecolor=PAPER)
    return path


def _draw(survey: Survey, pairs: Sequence[Pair], stretch: Stretch) -> Figure:
    rows, entries = lay_out_rows(pairs), _legend(survey)
    plots = plot_height(len(survey.bands))
    # The legend is as long as its text, which only a figure can measure: one is drawn to find the height.
    trial = Page.new(20.0)
    rows_top = _draw_legend(trial, entries, MARGIN + HEADER) + (0.1 if entries else 0)
    plots_top = rows_top + _height(rows) + 0.4
    page = Page.new(plots_top + plots + MARGIN / 2)
    _draw_header(page, survey, stretch)
    _draw_legend(page, entries, MARGIN + HEADER)
    top = rows_top
    for row in rows:
        _draw_row(page, row, top)
        top += row.height + CAPTION
    page.line(plots_top - 0.2)
    draw_values(page.figure, survey, page.box(MARGIN, plots_top, WIDTH - 2 * MARGIN, plots))
    return page.figure


def lay_out_rows(pairs: Sequence[Pair]) -> list[Row]:
    """As many rows, filled evenly, as bring the whole closest to the usual height."""
    fewest = -(-len(pairs) * len(pairs[0].pictures) // MOST_IN_A_ROW)
    layouts = [_split_evenly(pairs, rows) for rows in range(fewest, len(pairs) + 1)]
    return min(layouts, key=lambda rows: abs(_height(rows) - USUAL_HEIGHT))


def _split_evenly(pairs: Sequence[Pair], rows: int) -> list[Row]:
    ends = [len(pairs) * row // rows for row in range(rows + 1)]
    return [Row.of(pairs[start:end]) for start, end in pairwise(ends)]


def _height(rows: Sequence[Row]) -> float:
    return sum(row.height + CAPTION for row in rows)


def _draw_header(page: Page, survey: Survey, stretch: Stretch) -> None:
    dataset = survey.dataset
    page.text(MARGIN, MARGIN + 0.2, dataset.name, fontsize=21, fontweight="bold", color=INK)
    splits = "  ".join(f"{name} {len(items)}" for name, items in dataset.splits.items())
    sizes = Counter(facts.size for facts in survey.items)
    usual, _ = sizes.most_common(1)[0]
    size = f"{usual[0]} x {usual[1]} pixels" + (" and other sizes" if len(sizes) > 1 else "")
    bands = f"{dataset.sensor.name}, {len(survey.bands)} band{'s' if len(survey.bands) > 1 else ''}"
    page.text(MARGIN, MARGIN + 0.53, f"{splits}   ·   {size}   ·   {bands}", fontsize=11, color=SOFT)
    names = [dataset.sensor.band_names[band] for band in stretch.bands]
    shown = names[0] if len(set(names)) == 1 else f"{names[0]}, {names[1]}, {names[2]} as red, green, blue"
    text = f"shown: {shown}; black and white are the {STRETCH[0]:g} % and {STRETCH[1]:g} % of the whole data set"
    page.text(MARGIN, MARGIN + 0.78, text, fontsize=9, color=SOFT)


@dataclass(frozen=True, slots=True)
class Entry:
    """One class in the legend."""

    name: str
    share: str
    colour: str


def _legend(survey: Survey) -> list[Entry]:
    """Classes with their share of the labelled pixels; nothing where nothing is labelled."""
    dataset = survey.dataset
    counts_K = np.sum([survey.counts(split)[:-1] for split in dataset.splits], axis=0)
    if not dataset.classes or not counts_K.sum():
        return []
    entries = []
    for name, colour, count in zip(dataset.classes, dataset.colours, counts_K, strict=True):
        share = count / counts_K.sum()
        text = f"{share:.1%}" if share >= 0.001 else f"{count} px" if count else "none"
        entries.append(Entry(name, text, "#{:02x}{:02x}{:02x}".format(*colour)))
    return entries


def _draw_legend(page: Page, entries: Sequence[Entry], top: float) -> float:
    """Class by class from the left, in as many lines as they need; returns where the lines end."""
    left = MARGIN
    for entry in entries:
        if left > WIDTH - 3 * MARGIN - 0.1 * len(entry.name):
            left, top = MARGIN, top + LEGEND_ROW
        x, y, width, height = page.box(left, top + 0.02, 0.2, 0.14)
        page.figure.add_artist(Rectangle((x, y), width, height, facecolor=entry.colour, edgecolor=LINE, linewidth=0.6))
        left = page.text(left + 0.28, top + 0.15, entry.name, fontsize=10, color=INK)
        left = page.text(left + 0.08, top + 0.15, entry.share, fontsize=9, color=SOFT) + 0.35
    return top + LEGEND_ROW if entries else top


def _draw_row(page: Page, row: Row, top: float) -> None:
    left = MARGIN
    for pair in row.pairs:
        start = left
        for picture in pair.pictures:
            width = row.height / shape_of(picture)
            axes = page.figure.add_axes(page.box(left, top, width, row.height))
            axes.imshow(picture, aspect="auto")
            axes.set_axis_off()
            left += width + GAP
        left -= GAP
        end = page.text(start, top + row.height + 0.17, pair.name, fontsize=8.5, color=INK)
        if end + 0.08 * len(pair.split) < left:
            page.text(left, top + row.height + 0.17, pair.split, fontsize=8.5, color=SOFT, ha="right")
        left += GUTTER
