"""The report of a comparison: the answer first, then everything it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from sensam.evaluate.answer import headline, part_name, ranking_lines, recommend
from sensam.evaluate.compare.plan import stem_of
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.page import Page, code, facts, listing, paragraph, plot, side_by_side
from sensam.evaluate.report.plots import (
    Point,
    draw_class_bars,
    draw_confusion,
    draw_curves,
    draw_ranking,
    draw_trade,
    save,
)
from sensam.evaluate.report.tables import Entry, Number, Table
from sensam.files import write_text
from sensam.train.confusion import MIOU_MEANS

PLOTS, TABLES = "plots", "tables"  # folders beside the page
METRICS = {"miou": "mIoU", "macc": "mAcc", "allacc": "allAcc", "mf1": "F1", "csi": "CSI"}
MOST_BARS = 6  # entries in one drawing of classes; the others stand in the table


@dataclass(frozen=True, slots=True)
class Extras:
    """Blocks that need more than the scores: pictures, chosen bands, features by domain."""

    panels: str = ""
    picks: str = ""
    features: str = ""
    fairness: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()


def write_report(outcome: Outcome, folder: Path, extras: Extras) -> Path:
    """Write report.html with its plots and tables beside it."""
    page = Page(f"{outcome.title}: which way of adapting SAM works best", _subtitle(outcome), _summary(outcome))
    tables = [
        *(score_table(outcome), metric_table(outcome), class_table(outcome)),
        *(domain_table(outcome), label_table(outcome)),
    ]
    scores, metrics, classes, domains, labels = (keep(table, folder) for table in tables)
    page.add(
        "ranking",
        "Ranking",
        _ranking(outcome, folder),
        listing(ranking_lines(outcome), plain=True),
        _how_tested(outcome),
    )
    page.add("scores", "Scores and costs", scores, metrics, _what_is_meant(outcome))
    page.add("cost", "Cost beside quality", _trades(outcome, folder))
    page.add("labels", "With fewer labels", _labels(outcome, folder), labels)
    page.add("classes", "Classes", draw_bars(outcome, folder), classes, draw_pooled(outcome, folder))
    page.add("domains", "Domains", domains)
    page.add("pictures", "Pictures", extras.panels)
    page.add("picks", "Which bands inheritance looked at", extras.picks)
    page.add("features", "Features by domain", extras.features)
    page.add("skipped", "What was left out", listing(outcome.skipped))
    page.add("how", "How it was made", facts(extras.fairness), *(code(command) for command in extras.commands))
    path = folder / "report.html"
    write_text(path, page.html())
    return path


def _subtitle(outcome: Outcome) -> str:
    images = len(next(iter(outcome.evidence.values())).keys)
    return (
        f"{len(outcome.entries)} entries, {len(outcome.seeds)} seed{'s' * (len(outcome.seeds) != 1)}, "
        f"{images} images of the {part_name(outcome)} split, {_what(outcome)}"
    )


def _what(outcome: Outcome) -> str:
    if outcome.classes:
        return f"{len(outcome.classes)} classes"
    return "one click in every region; mIoU is the mean over regions"


def _summary(outcome: Outcome) -> str:
    choice = recommend(outcome)
    return (
        paragraph(headline(outcome))
        + paragraph(f"Take {choice.entry}. {choice.reason} To train it fully:")
        + code(choice.command)
    )


def _ranking(outcome: Outcome, folder: Path) -> str:
    points = {
        standing.name: Point(100 * standing.mean, 100 * standing.interval.low, 100 * standing.interval.high)
        for standing in outcome.standings
    }
    svg = save(draw_ranking(points, f"mIoU on the {part_name(outcome)} split, %"), folder / PLOTS / "ranking")
    return plot(
        svg, "Mean over seeds; the bar is the 95 % interval of drawing other images.", "plots/ranking.svg, .png"
    )


def _how_tested(outcome: Outcome) -> str:
    if len(outcome.seeds) < 2:
        return paragraph("One seed: intervals speak of other images only, not of other runs of training.", soft=True)
    text = (
        "Each entry is tested against the best, paired over seeds and images, both taken as drawn from many (analysis "
        "of variance of jackknife values). p values are raised for the number of tests (Holm). Below 0.05 a "
        "difference is called real, else within noise. Intervals of single scores are bootstraps over images."
    )
    return paragraph(text, soft=True)


def _what_is_meant(outcome: Outcome) -> str:
    """Which mean the scores are, where they are those of class maps."""
    return paragraph(f"{MIOU_MEANS}.", soft=True) if outcome.classes else ""


def score_table(outcome: Outcome) -> Table:
    """One row for each entry, best first."""
    rows: list[tuple[Entry, ...]] = []
    for standing in outcome.standings:
        record = outcome.costs(standing.name)
        behind = standing.behind
        costs = record.costs
        rows.append(
            (
                standing.name,
                "best" if behind is None else "within noise" if standing.is_level else "behind",
                Number(100 * standing.mean),
                Number(100 * standing.deviation),
                None if behind is None else Number(-100 * behind.value, "+.1f"),
                None if standing.p is None else Number(standing.p, ".3f"),
                Number(costs.trained / 1e6, ".2f"),
                Number(costs.total / 1e6, ".2f"),
                Number(costs.all_seconds, ".0f"),
                Number(costs.peak_memory_mb, ".0f"),
                None if costs.gflops is None else Number(costs.gflops, ".1f"),
            )
        )
    columns = (
        *("entry", "verdict", "mIoU, %", "± seeds", "to the best", "p"),
        *("trained, M", "total, M", "training, s", "memory, MB", "GFLOP"),
    )
    return Table("scores", columns, tuple(rows), frozenset({0}))


def metric_table(outcome: Outcome) -> Table:
    """Every score that one number says, entries in the order of the ranking; without rows where clicks were judged."""
    found = {standing.name: outcome.metrics(standing.name) for standing in outcome.standings}
    names = [name for name in METRICS if name in next(iter(found.values()))]
    columns = [column for name in names for column in (f"{METRICS[name]}, %", "± seeds")]
    values = {entry: [100 * value for name in names for value in scores[name]] for entry, scores in found.items()}
    rows = [_row(entry, row) for entry, row in values.items() if row]
    return Table("metrics", ("entry", *columns), tuple(rows))


def class_table(outcome: Outcome) -> Table:
    """IoU of every class, entries in the order of the ranking."""
    names = [standing.name for standing in outcome.standings]
    scores = {name: outcome.class_scores(name) for name in names}
    rows = [_row(name, [100 * scores[entry].get(name, (nan, nan))[0] for entry in names]) for name in outcome.classes]
    return Table("classes", ("class, IoU %", *names), tuple(rows))


def domain_table(outcome: Outcome) -> Table:
    """mIoU in every domain; without rows where the data set names none."""
    names = [standing.name for standing in outcome.standings]
    scores = {name: outcome.domain_scores(name) for name in names}
    domains = sorted({domain for found in scores.values() for domain in found})
    rows = [_row(domain, [100 * scores[entry][domain][0] for entry in names]) for domain in domains]
    return Table("domains", ("domain, mIoU %", *names), tuple(rows))


def _row(name: str, values: Sequence[float]) -> tuple[Entry, ...]:
    return (name, *map(Number, values))


def label_table(outcome: Outcome) -> Table:
    """mIoU at every share of the labels; without rows where there is one share."""
    shares = sorted(outcome.shares) if len(outcome.shares) > 1 else []
    curves = {name: outcome.curve(name) for name in outcome.complete(outcome.full)}
    rows = tuple((f"{100 * share:.3g}", *(_at(curve, share) for curve in curves.values())) for share in shares)
    return Table("labels", ("labels, %", *curves), rows)


def _at(curve: Mapping[float, tuple[float, float]], share: float) -> Number | None:
    return Number(100 * curve[share][0]) if share in curve else None


def keep(table: Table, folder: Path) -> str:
    """The table as a CSV beside the page, and on it."""
    if not table.rows:
        return ""
    write_text(folder / TABLES / f"{table.name}.csv", table.csv())
    return table.html()


def _trades(outcome: Outcome, folder: Path) -> str:
    quality = {
        standing.name: Point(100 * standing.mean, 100 * standing.interval.low, 100 * standing.interval.high)
        for standing in outcome.standings
    }
    if len(quality) < 2:
        return ""
    seconds = {name: (outcome.costs(name).costs.all_seconds, point) for name, point in quality.items()}
    trained = {name: (float(outcome.costs(name).costs.trained), point) for name, point in quality.items()}
    return side_by_side(
        plot(
            save(draw_trade(seconds, "seconds of training"), folder / PLOTS / "seconds"),
            "Against seconds of training, all stages together. The dashed line joins what nothing beats in both.",
        ),
        plot(
            save(draw_trade(trained, "trained parameters"), folder / PLOTS / "parameters"),
            "Against the number of parameters that some stage moves.",
        ),
    )


def _labels(outcome: Outcome, folder: Path) -> str:
    if len(outcome.shares) < 2:
        return ""
    series = {
        name: {
            100 * share: Point(100 * mean, 100 * (mean - spread), 100 * (mean + spread))
            for share, (mean, spread) in curve.items()
        }
        for name, curve in ((name, outcome.curve(name)) for name in outcome.complete(outcome.full))
    }
    svg = save(draw_curves(series, "share of the labels, %", "mIoU, %", log=True), folder / PLOTS / "labels")
    return plot(svg, "Mean over seeds, and one standard deviation of them. Smaller shares lie within larger ones.")


def draw_bars(outcome: Outcome, folder: Path) -> str:
    """IoU of every class, of the best few entries."""
    if not outcome.classes:
        return ""
    everyone = [standing.name for standing in outcome.standings]
    bars = {
        name: {
            kind: Point(100 * mean, 100 * (mean - spread), 100 * (mean + spread))
            for kind, (mean, spread) in outcome.class_scores(name).items()
        }
        for name in everyone[:MOST_BARS]
    }
    whiskers = "; whiskers are one standard deviation over seeds" if len(outcome.seeds) > 1 else ""
    note = "" if len(everyone) <= MOST_BARS else f" The best {MOST_BARS} of {len(everyone)} entries."
    return plot(
        save(draw_class_bars(bars, everyone), folder / PLOTS / "classes"),
        f"IoU of every class{whiskers}.{note}",
    )


def draw_pooled(outcome: Outcome, folder: Path) -> str:
    """The confusion of every entry, over all seeds."""
    if not outcome.classes:
        return ""
    drawn = []
    for standing in outcome.standings:
        matrix_KK = outcome.pooled(standing.name)
        stem = folder / PLOTS / f"confusion-{stem_of(standing.name)}"
        drawn.append(plot(save(draw_confusion(matrix_KK, outcome.classes, standing.name), stem), ""))
    seeds = ", over all seeds" if len(outcome.seeds) > 1 else ""
    note = f"Of the pixels of each true class (rows), how many of 100 were answered as what (columns){seeds}."
    return paragraph(note) + side_by_side(*drawn)
