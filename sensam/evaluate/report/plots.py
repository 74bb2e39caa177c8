"""Drawings of a report, each as a file and as part of the page, where it takes the page's colours."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.files import whole, write_text

INK, SOFT, LINE = "#1f2328", "#59636e", "#d0d7de"  # become the page's own where the drawing is part of it
COLOURS = ("#1f83c9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a63d2", "#9c8500", "#7a8694")
HEAT = (0.25, 0.55, 0.85)  # over any ground; how much of it is how much there is
WIDE, NARROW = (10.6, 3.7), (5.1, 3.6)  # inches
MATPLOTLIB = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval."""

    value: float
    low: float
    high: float


def colour_of(names: Sequence[str]) -> dict[str, str]:
    """One colour for each name, the same in every drawing."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def draw_ranking(points: Mapping[str, Point], xlabel: str) -> Figure:
    """Entries from the best down, with intervals: what overlaps is not told apart."""
    with mpl.rc_context(MATPLOTLIB):
        figure, axes = _figure((WIDE[0], 0.7 + 0.36 * len(points)))
        colours = colour_of(sorted(points))
        for place, (name, point) in enumerate(points.items()):
            axes.plot(
                (point.low, point.high), (place, place), color=colours[name], lw=3, alpha=0.45, solid_capstyle="round"
            )
            axes.plot(point.value, place, "o", ms=7, color=colours[name])
        axes.set_yticks(range(len(points)), list(points), color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(xlabel)
        return figure


def draw_curves(series: Mapping[str, Mapping[float, Point]], xlabel: str, ylabel: str, *, log: bool = False) -> Figure:
    """Lines with bands, one for each name; labels stand at the ends of the lines, where the eye is."""
    with mpl.rc_context(MATPLOTLIB):
        figure, axes = _figure(WIDE)
        colours = colour_of(sorted(series))
        for name, points in series.items():
            xs = sorted(points)
            values = [points[x].value for x in xs]
            axes.fill_between(
                xs, [points[x].low for x in xs], [points[x].high for x in xs], color=colours[name], alpha=0.13, lw=0
            )
            axes.plot(xs, values, "o-" if len(xs) < 12 else "-", color=colours[name], ms=4.5, lw=1.8)
        if log:
            axes.set_xscale("log")
            ticks = sorted({x for points in series.values() for x in points})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set(xlabel=xlabel, ylabel=ylabel)
        _label_ends(
            axes, {name: (max(points), points[max(points)].value) for name, points in series.items() if points}, colours
        )
        return figure


def _label_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Names beside the last points, moved apart where they would cover each other."""
    low, high = axes.get_ylim()
    place = -np.inf
    for name, (x, y) in sorted(ends.items(), key=lambda entry: entry[1][1]):
        place = max(y, place + 0.062 * (high - low))
        note = axes.annotate(name, (x, place), xytext=(9, 0), textcoords="offset points", color=colours[name])
        note.set(va="center", annotation_clip=False)


def draw_trade(points: Mapping[str, tuple[float, Point]], xlabel: str) -> Figure:
    """Quality against cost: on the line lies what nothing else beats in both."""
    with mpl.rc_context(MATPLOTLIB):
        figure, axes = _figure(NARROW)
        colours = colour_of(sorted(points))
        for name, (cost, point) in points.items():
            axes.plot(
                (cost, cost), (point.low, point.high), color=colours[name], lw=2.4, alpha=0.4, solid_capstyle="round"
            )
            axes.plot(cost, point.value, "o", ms=7, color=colours[name])
        best = frontier({name: (cost, point.value) for name, (cost, point) in points.items()})
        axes.plot(
            [points[name][0] for name in best],
            [points[name][1].value for name in best],
            color=SOFT,
            lw=1,
            ls=(0, (4, 3)),
            zorder=0,
        )
        costs = [cost for cost, _ in points.values()]
        if min(costs) > 0 and max(costs) > 5 * min(costs):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a short axis holds one power of ten, or none
        axes.margins(x=0.16, y=0.12)
        _label_points(axes, {name: (cost, point.value) for name, (cost, point) in points.items()}, colours)
        axes.xaxis.set_major_formatter(FuncFormatter(short))
        axes.xaxis.set_minor_formatter("")
        axes.set(xlabel=xlabel, ylabel="mIoU, %")
        return figure


def _label_points(axes: Axes, places: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Names beside their points, on the side where no other name or point is yet."""
    to_pixels = axes.transData.transform
    taken = [tuple(to_pixels(place)) for place in places.values()]
    for name, place in sorted(places.items(), key=lambda entry: entry[1]):
        x, y = to_pixels(place)
        width = 6.0 * len(name)
        sides = [(8, 5, "left"), (8, -12, "left"), (-8, 5, "right"), (-8, -12, "right")]
        middles = [(x + dx + (width / 2 if side == "left" else -width / 2), y + dy) for dx, dy, side in sides]
        free = [min(abs(mx - tx) / width + abs(my - ty) / 12 for tx, ty in taken) for mx, my in middles]
        best = max(range(len(sides)), key=lambda number: (min(free[number], 1.0), -number))
        dx, dy, side = sides[best]
        taken.append(middles[best])
        axes.annotate(name, place, xytext=(dx, dy), textcoords="offset points", ha=side, color=colours[name])


def frontier(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names from cheap to dear that no other beats in both cost and quality."""
    best: list[str] = []
    for name in sorted(points, key=lambda name: (points[name][0], -points[name][1], name)):
        if not best or points[name][1] > points[best[-1]][1]:
            best.append(name)
    return best


def draw_confusion(matrix_KK: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Where the pixels of each true class went, in parts of 100."""
    with mpl.rc_context({**MATPLOTLIB, "axes.grid": False}):
        count = len(classes)
        figure, axes = _figure((1.9 + 0.55 * count, 1.3 + 0.42 * count))
        total = matrix_KK.sum(1, keepdims=True)
        part = np.divide(matrix_KK, total, out=np.zeros(matrix_KK.shape), where=total > 0)
        for row in range(count):
            for column in range(count):
                axes.add_patch(
                    mpl.patches.Rectangle(
                        (column - 0.48, row - 0.48), 0.96, 0.96, facecolor=(*HEAT, 0.04 + 0.7 * part[row, column]), lw=0
                    )
                )
                if part[row, column] >= 0.005:
                    axes.text(
                        column, row, f"{100 * part[row, column]:.0f}", ha="center", va="center", fontsize=8, color=INK
                    )
        axes.set_xticks(range(count), classes, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), classes)
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), xlabel="answered", ylabel="true")
        axes.set_title(title, fontsize=10, color=INK)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return figure


def draw_class_bars(by_entry: Mapping[str, Mapping[str, Point]], of: Sequence[str]) -> Figure:
    """IoU of every class, some entries of all side by side; whiskers are the spread over seeds."""
    with mpl.rc_context(MATPLOTLIB):
        classes = list(dict.fromkeys(name for bars in by_entry.values() for name in bars))
        width = 0.82 / max(1, len(by_entry))
        figure, axes = _figure((max(WIDE[0], 0.16 * len(classes) * len(by_entry) + 2), WIDE[1]))
        colours = colour_of(sorted(of))
        for place, (entry, bars) in enumerate(by_entry.items()):
            xs = [
                number + (place - (len(by_entry) - 1) / 2) * width
                for number, name in enumerate(classes)
                if name in bars
            ]
            points = [bars[name] for name in classes if name in bars]
            axes.bar(xs, [point.value for point in points], width * 0.9, color=colours[entry], label=entry)
            axes.vlines(xs, [point.low for point in points], [point.high for point in points], color=INK, lw=0.8)
        axes.set_xticks(
            range(len(classes)),
            classes,
            rotation=0 if len(classes) < 9 else 35,
            ha="center" if len(classes) < 9 else "right",
        )
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        axes.set_ylabel("IoU, %")
        axes.set_ylim(0, None)
        figure.legend(loc="outside upper left", ncols=6, fontsize=8)
        return figure


def draw_shares(shares_TC: NDArray[np.float64], steps_T: Sequence[int], bands: Sequence[str]) -> Figure:
    """How often each band has been chosen so far, against the equal share it tends to."""
    with mpl.rc_context(MATPLOTLIB):
        figure, axes = _figure(WIDE)
        for place, band in enumerate(bands):
            axes.plot(
                steps_T, 100 * shares_TC[:, place], lw=1.3, color=COLOURS[place % len(COLOURS)], alpha=0.8, label=band
            )
        axes.axhline(100 / len(bands), color=SOFT, lw=1, ls=(0, (4, 3)))
        axes.text(1.005, 100 / len(bands), "1/C", color=SOFT, transform=axes.get_yaxis_transform(), va="center")
        axes.set(xlabel="step", ylabel="share of all picks, %")
        figure.legend(loc="outside upper left", ncols=min(8, len(bands)), fontsize=8)
        return figure


def draw_domains(places_N2: NDArray[np.float64], domains: Sequence[str], title: str) -> Figure:
    """Features in two dimensions, coloured by domain; the axes mean nothing."""
    with mpl.rc_context({**MATPLOTLIB, "axes.grid": False}):
        figure, axes = _figure((4.4, 3.9))
        for name, colour in colour_of(sorted(set(domains))).items():
            chosen = np.array([domain == name for domain in domains])
            axes.plot(*places_N2[chosen].T, "o", ms=4, color=colour, alpha=0.8, mew=0, label=name)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        figure.legend(loc="outside lower left", ncols=4, fontsize=8)
        return figure


def short(value: float, _: Any = None) -> str:
    """A number as on an axis: 12k, 3.4M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def save(figure: Figure, stem: Path) -> str:
    """Write STEM.png and STEM.svg, and return the drawing as the page takes it."""
    with mpl.rc_context({**MATPLOTLIB, "svg.hashsalt": stem.name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    try:
        write_text(stem.with_name(f"{stem.name}.svg"), svg)
        with whole(stem.with_name(f"{stem.name}.png")) as unfinished:
            figure.savefig(unfinished, format="png", dpi=160, facecolor="white")
    except OSError as problem:
        raise InputError(f"Cannot write {stem}.svg: {problem.strerror}. Choose another folder.") from problem
    return inline(svg, stem.name)


def inline(svg: str, salt: str) -> str:
    """A drawing as part of a page: its own names, the page's colours and letters."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", salt)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r"url\(#", f"url(#{prefix}-", body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body)
    for colour, name in ((INK, "currentColor"), (SOFT, "var(--soft)"), (LINE, "var(--line)")):
        body = re.sub(colour, name, body, flags=re.IGNORECASE)
    body = body.replace("font-family: sans-serif", "font-family: inherit")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{prefix}" ', body, count=1)
