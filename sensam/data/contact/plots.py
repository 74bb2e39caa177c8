"""How the values of every band are spread, by class: histograms of a few bands, spectra of many."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sensam.data.checks.survey import Survey

INK, SOFT, LINE, PAPER = "#1b1f24", "#6b7280", "#d9dce1", "#fbfbf9"
NEUTRAL = "#4b6584"  # of values without a class
MOST_HISTOGRAMS = 18
IN_A_ROW = 7
FEWEST_IN_A_ROW = 4  # so that one band does not fill the page
ROW_HEIGHT = 1.45  # inches
SPECTRA_HEIGHT = 3.0
BINS = 48
ENDS = (0.5, 99.5)  # percentiles that are drawn
MOST_FILLED = 4  # curves; more would hide each other
FEWEST = 10  # pixels of a class that make a curve

Box = tuple[float, float, float, float]  # left, bottom, width, height, as parts of the figure


@dataclass(frozen=True, slots=True)
class Curve:
    """Values of one class, or of everything where nothing is labelled."""

    colour: str
    values_CP: NDArray[np.float32]


def plot_height(bands: int) -> float:
    """Inches that the plots of so many bands take."""
    return ROW_HEIGHT * -(-bands // IN_A_ROW) if bands <= MOST_HISTOGRAMS else SPECTRA_HEIGHT


def draw_values(figure: Figure, survey: Survey, box: Box) -> None:
    """Fill a part of the figure."""
    curves = _curves(survey)
    if not curves:
        return
    draw = _draw_histograms if len(survey.bands) <= MOST_HISTOGRAMS else _draw_spectra
    draw(figure, survey, box, curves)


def _curves(survey: Survey) -> list[Curve]:
    values_CP, label_P = survey.sample()
    if not values_CP.shape[1]:
        return []
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in survey.dataset.colours]
    by_class = [Curve(colour, values_CP[:, label_P == number]) for number, colour in enumerate(colours)]
    drawn = [curve for curve in by_class if curve.values_CP.shape[1] >= FEWEST]
    return drawn or [Curve(NEUTRAL, values_CP)]


def _draw_histograms(figure: Figure, survey: Survey, box: Box, curves: list[Curve]) -> None:
    """Small multiples: the share of each class at each value, every class to its own height."""
    left, bottom, width, height = box
    bands = survey.dataset.sensor.bands
    rows = -(-len(bands) // IN_A_ROW)
    columns = max(FEWEST_IN_A_ROW, -(-len(bands) // rows))
    cell_width, cell_height = width / columns, height / rows
    for place, band in enumerate(bands):
        row, column = divmod(place, columns)
        corner = left + column * cell_width, bottom + height - (row + 1) * cell_height
        axes = figure.add_axes((corner[0], corner[1] + 0.26 * cell_height, cell_width * 0.88, cell_height * 0.5))
        everything = np.concatenate([curve.values_CP[place] for curve in curves])
        low, high = (float(end) for end in np.percentile(everything, ENDS))
        high = high if high > low else low + 1
        for curve in curves:
            counts, steps = np.histogram(curve.values_CP[place], bins=BINS, range=(low, high))
            density = counts / max(1, counts.max())
            if len(curves) <= MOST_FILLED:
                axes.stairs(density, steps, fill=True, color=curve.colour, alpha=0.28, linewidth=0)
            axes.stairs(density, steps, color=curve.colour, linewidth=1.1, baseline=None)
        _dress(axes, low, high)
        note = " ".join(part for part in (_length(band.wavelength_nm), band.unit) if part not in ("", "1"))
        axes.set_title(band.name, loc="left", fontsize=9.5, color=INK, pad=5, fontweight="bold")
        axes.set_title(note, loc="right", fontsize=8, color=SOFT, pad=5)


def _dress(axes: Any, low: float, high: float) -> None:
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.08)
    axes.set_yticks([])
    axes.set_xticks([low, high], [f"{low:.3g}", f"{high:.3g}"])
    axes.tick_params(axis="x", length=0, pad=4, labelsize=8, labelcolor=SOFT)
    first, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set_facecolor("none")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def _draw_spectra(figure: Figure, survey: Survey, box: Box, curves: list[Curve]) -> None:
    """Median of each class over the bands, and the range of its middle four fifths."""
    left, bottom, width, height = box
    axes = figure.add_axes((left + 0.03 * width, bottom + 0.16 * height, width * 0.97, height * 0.74))
    bands = survey.dataset.sensor.bands
    lengths = [band.wavelength_nm for band in bands]
    known = [length for length in lengths if length is not None]
    has_lengths = len(known) == len(bands)
    place_C = np.array(known) if has_lengths else np.arange(len(bands))
    for curve in curves:
        low_C, median_C, high_C = np.percentile(curve.values_CP, [10, 50, 90], axis=1)
        axes.fill_between(place_C, low_C, high_C, color=curve.colour, alpha=0.18, linewidth=0)
        axes.plot(place_C, median_C, color=curve.colour, linewidth=1.6)
    axes.set_xlim(place_C.min(), place_C.max())
    axes.set_title("value of each band, by class: median and middle 80 %", loc="left", fontsize=9.5, color=INK, pad=7)
    axes.set_xlabel("wavelength, nm" if has_lengths else "band", fontsize=8.5, color=SOFT)
    axes.tick_params(labelsize=8, labelcolor=SOFT, length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_facecolor("none")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def _length(wavelength_nm: float | None) -> str:
    if wavelength_nm is None:
        return ""
    if wavelength_nm >= 1e6:
        return f"{wavelength_nm / 1e6:.1f} mm"
    return f"{wavelength_nm / 1000:.3g} µm" if wavelength_nm >= 1000 else f"{wavelength_nm:.0f} nm"
