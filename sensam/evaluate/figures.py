"""Pictures of images with clicks, boxes and masks, in rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import hsv_to_rgb, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.files import whole

# Told apart by people who see fewer colours, and on most pictures (after Okabe and Ito).
COLOURS = tuple(to_rgb(code) for code in ("#E69F00", "#56B4E9", "#F0E442", "#CC79A7", "#00C78C", "#D55E00"))
INK, PAPER = "#22252A", "#FFFFFF"
CELL = 2.0  # inches along the width of a panel
GAP = 0.06
TITLE = 0.30  # inches above the first row
CAPTION = 0.22  # inches below each row
GOLDEN = 0.6180339887  # steps of it around the colour circle stay apart, however many


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture: an image, and what lies on it. Mask, click and box number i share colour i."""

    image_HW3: NDArray[np.uint8]
    masks_NHW: NDArray[np.bool_] | None = None
    clicks_N2: NDArray[np.number[Any]] | None = None
    boxes_N4: NDArray[np.number[Any]] | None = None
    colours: Sequence[tuple[float, float, float]] = COLOURS
    caption: str = ""
    legend: Sequence[tuple[str, tuple[float, float, float]]] = ()  # names and their colours, in place of a caption


def many_colours(count: int) -> list[tuple[float, float, float]]:
    """As many colours of like strength as there are things."""
    hues = (np.arange(count) * GOLDEN + 0.55) % 1
    rows = hsv_to_rgb(np.stack([hues, np.full(count, 0.62), np.full(count, 0.95)], 1))
    return [(float(red), float(green), float(blue)) for red, green, blue in rows]


def draw_panels(titles: Sequence[str], rows: Sequence[Sequence[Panel]]) -> Figure:
    """A figure with one panel in each cell; images of one row have one size."""
    heights = [CELL * row[0].image_HW3.shape[0] / row[0].image_HW3.shape[1] for row in rows]
    width = len(titles) * (CELL + GAP) + GAP
    height = TITLE + sum(heights) + len(rows) * (CAPTION + GAP)
    figure = Figure((width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    top = height - TITLE
    for number, (row, tall) in enumerate(zip(rows, heights, strict=True)):
        for column, (title, panel) in enumerate(zip(titles, row, strict=True)):
            left = GAP + column * (CELL + GAP)
            axes = figure.add_axes((left / width, (top - tall) / height, CELL / width, tall / height))
            draw_panel(axes, panel)
            if number == 0:
                figure.text(left / width, (top + 0.08) / height, title, size=8, weight="bold", color=INK)
            figure.text(left / width, (top - tall - 0.15) / height, panel.caption, size=6.5, color=INK)
            if panel.legend:
                _explain(axes, panel.legend)
        top -= tall + CAPTION + GAP
    return figure


def _explain(axes: Axes, legend: Sequence[tuple[str, tuple[float, float, float]]]) -> None:
    """Names behind squares of their colours, in one line below the picture."""
    squares = [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=INK, lw=0.3, label=name) for name, colour in legend]
    axes.legend(
        handles=squares,
        loc="upper left",
        bbox_to_anchor=(0, -0.035),
        ncols=len(squares),
        frameon=False,
        fontsize=5.8,
        labelcolor=INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=0.8,
        handleheight=0.8,
        handletextpad=0.35,
        columnspacing=0.6,
    )


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Image, masks as a tint within a thin line, boxes, and clicks on top."""
    axes.set_axis_off()
    height, width = panel.image_HW3.shape[:2]
    masks = np.zeros((0, height, width), np.bool_) if panel.masks_NHW is None else panel.masks_NHW
    image = panel.image_HW3 / 255 if panel.masks_NHW is None else tint(panel.image_HW3, masks, panel.colours)
    axes.imshow(image, interpolation="antialiased")
    for mask, colour in zip(masks, cycle(panel.colours), strict=False):
        framed = np.pad(mask, 1)  # so that the line also closes along the edge of the image
        if framed.any():
            columns, rows = np.arange(width + 2) - 1, np.arange(height + 2) - 1
            axes.contour(columns, rows, framed, [0.5], colors=[colour], linewidths=0.9)
    for (x0, y0, x1, y1), colour in zip(_rows(panel.boxes_N4), cycle(panel.colours), strict=False):
        corner = (x0 - 0.5, y0 - 0.5)  # a pixel's number is its middle
        axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, color=colour, lw=0.9, ls=(0, (3, 2))))
    for (x, y), colour in zip(_rows(panel.clicks_N2), cycle(panel.colours), strict=False):
        axes.plot(x, y, "o", ms=4.6, mfc=colour, mec="white", mew=0.9)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _rows(numbers: NDArray[np.number[Any]] | None) -> list[list[float]]:
    return [] if numbers is None else numbers.tolist()


def tint(
    image_HW3: NDArray[np.uint8], masks_NHW: NDArray[np.bool_], colours: Sequence[tuple[float, float, float]]
) -> NDArray[np.float64]:
    """The image with the masks laid over it, the largest first; what no mask covers fades."""
    covered = np.asarray(masks_NHW.any(0))[..., None]
    image = image_HW3 / 255
    faded = 0.75 * image + 0.25 * image.mean(-1, keepdims=True)
    picture = np.where(covered, image, faded)
    for index in np.argsort(-masks_NHW.sum((1, 2)), kind="stable"):
        mask = masks_NHW[index]
        picture[mask] = 0.5 * image[mask] + 0.5 * np.array(colours[index % len(colours)])
    return picture


def prepare_folder(folder: Path) -> None:
    """Make the folder, or say in one line why nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / ".trial"
        trial.touch()
        trial.unlink()
    except OSError as problem:
        raise InputError(f"Cannot write to {folder}: {problem.strerror}. Choose another folder.") from problem


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    try:
        with whole(path) as unfinished:
            figure.savefig(unfinished, format="png", dpi=200)
    except OSError as problem:
        raise InputError(f"Cannot write {path}: {problem.strerror}. Choose another folder.") from problem
