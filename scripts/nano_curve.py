"""Draw how nano learnt, from benchmarks/results/nano_curve.csv, into docs/pictures/nano-curve.png."""

import csv
import math
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
CURVE = ROOT / "benchmarks" / "results" / "nano_curve.csv"
PICTURE = ROOT / "docs" / "pictures" / "nano-curve.png"
LINES = {"click_iou": "one click, three answers", "box_iou": "box", "corrected_iou": "two clicks"}
# Steps at which lessons or the rate change.
TURNS = {2000: "larger", 4300: "finer", 8000: "2nd term", 10800: "3rd term"}
SMOOTH = 3  # rows, of 100 or 200 steps, in a running mean


def running_mean(values: list[float]) -> list[float]:
    """The mean of the last few values, leaving out what was not asked."""
    means = []
    for end in range(1, len(values) + 1):
        known = [value for value in values[max(0, end - SMOOTH) : end] if not math.isnan(value)]
        means.append(sum(known) / len(known) if known else math.nan)
    return means


def main() -> None:
    """Losses on the left, IoU in training on the right."""
    with CURVE.open() as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    loss, iou = figure.subplots(1, 2)
    loss.plot(steps, [row["loss"] for row in rows], color="#33658a", label="masks and quality")
    loss.plot(steps, [row["grouping"] for row in rows], color="#f6ae2d", label="pairs of tokens")
    loss.set_ylabel("loss")
    for (column, title), colour in zip(LINES.items(), ("#33658a", "#758e4f", "#c8553d"), strict=True):
        iou.plot(steps, running_mean([row[column] for row in rows]), color=colour, label=title)
    iou.set_ylabel("mean IoU in training")
    for axes in (loss, iou):
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        for step, text in TURNS.items():
            axes.axvline(step, color="0.8", linewidth=1, zorder=0)
            axes.text(step + 40, 0.03, text, color="0.5", fontsize=8, transform=axes.get_xaxis_transform())
    figure.savefig(PICTURE, dpi=110)
    print(f"wrote {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
