"""An inspection as text: what there is, band by band and class by class, then what is wrong and what to do."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sensam.data.checks.inspection import Inspection
from sensam.data.checks.problems import Problem
from sensam.data.checks.survey import ItemFacts, Survey

BARS = "▁▂▃▄▅▆▇█"
BINS = 16
MOST_BANDS = 24  # rows of the table of bands
STYLE = {"error": "bold red", "warning": "yellow"}


def print_report(inspection: Inspection, console: Console) -> None:
    """The whole report."""
    survey = inspection.survey
    dataset = survey.dataset
    fed, known = len(dataset.sensor.bands), len(dataset.spec.sensor.bands)
    bands = f"{fed} bands" if fed == known else f"{fed} of {known} bands"
    console.print(f"[bold]{escape(dataset.name)}[/bold]  {dataset.spec.root}")
    console.print(f"sensor {escape(dataset.sensor.name)}, {bands}; {len(dataset.classes)} classes\n")
    for table in (_splits(survey), _bands(survey), _classes(survey) if dataset.classes else None):
        if table is not None:
            console.print(table, "")
    _print_estimate(inspection, console)
    _print_problems(inspection, console)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _splits(survey: Survey) -> Table:
    table = _table("split", "images", "with mask", "pixels", "valid", "type", "place")
    for split, items in survey.dataset.splits.items():
        facts = survey.of(split)
        labelled = sum(item.mask is not None for item in items)
        valid = f"{np.mean([entry.valid_C.mean() for entry in facts]):.1%}" if facts else ""
        types = ", ".join(sorted({entry.info.dtype for entry in facts}))
        table.add_row(split, str(len(items)), str(labelled), _sizes(facts), valid, types, _places(facts))
    return table


def _sizes(facts: Sequence[ItemFacts]) -> str:
    sizes = sorted({entry.size for entry in facts}, key=lambda size: size[0] * size[1])
    if not sizes:
        return ""
    first, last = (f"{rows} x {columns}" for rows, columns in (sizes[0], sizes[-1]))
    return first if len(sizes) == 1 else f"{first} to {last}"


def _places(facts: Sequence[ItemFacts]) -> str:
    codes = {entry.info.crs.to_epsg() for entry in facts if entry.info.crs}
    if not codes:
        return "none"
    return ", ".join(f"EPSG:{code}" if code else "own" for code in sorted(codes, key=str)[:3])


def _bands(survey: Survey) -> Table:
    table = _table("band", "unit", "mean", "std", "min", "2 %", "50 %", "98 %", "max", "histogram")
    bands = survey.dataset.sensor.bands
    shown = list(range(len(bands)))
    if len(shown) > MOST_BANDS:
        shown = [*shown[: MOST_BANDS // 2], *shown[-MOST_BANDS // 2 :]]
    sample = survey.sample()[0]
    for place in shown:
        if place and place - 1 not in shown:
            table.add_row(f"... {len(bands) - len(shown)} more")
        found = survey.bands[place].gatherer.summary()
        name, unit = Text(bands[place].name), Text(bands[place].unit)
        if found is None:
            table.add_row(name, unit, "nothing valid")
            continue
        parts = found.percentiles
        numbers = (found.mean, found.std, found.min, parts["p2"], parts["p50"], parts["p98"], found.max)
        table.add_row(name, unit, *(_number(value) for value in numbers), sparkline(sample[place]))
    return table


def sparkline(values_P: NDArray[np.float32]) -> str:
    """A histogram in one line of text, from the first to the last percentile but one."""
    if not values_P.size:
        return ""
    low, high = np.percentile(values_P, [1, 99])
    if high <= low:
        return BARS[-1]
    counts, _ = np.histogram(values_P, bins=BINS, range=(low, high))
    return "".join(BARS[round(float(count) / counts.max() * (len(BARS) - 1))] for count in counts)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _classes(survey: Survey) -> Table:
    dataset = survey.dataset
    table = _table("class", "", *dataset.splits)
    counts = {split: survey.counts(split) for split in dataset.splits}
    for number, (name, colour) in enumerate(zip(dataset.classes, dataset.colours, strict=True)):
        block = Text("██", style="#{:02x}{:02x}{:02x}".format(*colour))
        table.add_row(Text(name), block, *(_share(counts[split], number) for split in dataset.splits))
    table.add_row("not labelled", "", *(_ignored(counts[split]) for split in dataset.splits), style="dim")
    return table


def _share(counts_K: NDArray[np.int64], number: int) -> str:
    total = counts_K[:-1].sum()
    if not total:
        return "-"
    share = counts_K[number] / total
    return f"{share:.2%}" if share >= 0.001 or not share else f"{counts_K[number]} px"


def _ignored(counts_K: NDArray[np.int64]) -> str:
    return f"{counts_K[-1] / counts_K.sum():.2%}" if counts_K.sum() else "-"


def _print_estimate(inspection: Inspection, console: Console) -> None:
    cost = inspection.estimate
    if cost is None:
        return
    console.print(
        f"[dim]one epoch of {cost.split} at {cost.size} x {cost.size}: {cost.samples} samples, "
        f"read in {_duration(cost.reading_seconds)} by one worker\n"
        f"training ViT-B in float32: about {cost.step_mib / 1024:.1f} GiB for one sample a step, "
        f"{_duration(cost.epoch_seconds)} an epoch on this processor[/dim]\n"
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    for limit, unit in ((60, 1), (3600, 60), (86400, 3600)):
        if seconds < 2 * limit:
            name = {1: "s", 60: "min", 3600: "h"}[unit]
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} days"


def _print_problems(inspection: Inspection, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for problem in inspection.problems:
        table.add_row(Text(problem.severity, STYLE[problem.severity]), _told(problem, inspection.survey))
    if inspection.problems:
        console.print(table)
    errors, warnings = len(inspection.errors), len(inspection.warnings)
    if not inspection.problems:
        console.print("[green]nothing is wrong[/green]")
    else:
        console.print(f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}")


def _told(problem: Problem, survey: Survey) -> Text:
    """The problem, its files, and the remedy on a line of its own; paths count from the data set."""
    root = f"{survey.dataset.spec.root}/"
    found, where, remedy = (part.replace(root, "") for part in (problem.found, problem.where, problem.remedy))
    return Text.assemble(found, (f": {where}" if where else "", "dim"), "\n", (remedy, "italic"))
