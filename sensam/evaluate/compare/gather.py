"""From a comparison's folder to what it found, and to its report."""

import csv
import shlex
from pathlib import Path

import numpy as np

from sensam.data.dataset import open_dataset
from sensam.evaluate.compare.plan import Plan, inheritance_folder
from sensam.evaluate.outcome import CellKey, Outcome
from sensam.evaluate.records import CellRecord, Evidence, Part, write_lines
from sensam.evaluate.report.comparison import Extras, write_report
from sensam.evaluate.report.features import draw_features
from sensam.evaluate.report.page import plot
from sensam.evaluate.report.panels import draw_cases
from sensam.evaluate.report.plots import draw_shares, save

PICKED = "picked "  # before a band's name in log.csv


def gather(plan: Plan, folder: Path, part: Part = "test") -> Outcome:
    """Every finished cell of a comparison."""
    dataset = open_dataset(plan.data)
    records: dict[CellKey, CellRecord] = {}
    evidence: dict[CellKey, Evidence] = {}
    skipped: dict[str, None] = {}
    failed: dict[str, None] = {}
    for cell in plan.cells():
        stem = folder / "cells" / cell.name
        path = Path(f"{stem}.test.json" if part == "test" else f"{stem}.json")
        if path.is_file():
            records[cell.entry, cell.seed, cell.share] = CellRecord.model_validate_json(path.read_text())
            evidence[cell.entry, cell.seed, cell.share] = Evidence.load(Path(f"{stem}.{part}.npz"))
        elif Path(f"{stem}.failed").is_file():
            reason = f"{cell.entry}: {Path(f'{stem}.failed').read_text().strip()}"
            skipped[reason] = failed[reason] = None
        else:
            skipped[f"{cell.entry}, seed {cell.seed}, labels {100 * cell.share:g} %: not finished"] = None
    is_mapped = plan.judge == "classes"
    title, classes, colours = dataset.name, dataset.classes if is_mapped else (), dataset.colours
    names, seeds, shares = tuple(plan.entries), plan.seeds, plan.shares
    left_out = tuple(skipped), tuple(failed)
    return Outcome(title, classes, colours, names, seeds, shares, records, evidence, part, *left_out)


def report(plan: Plan, folder: Path, outcome: Outcome) -> Path:
    """cells.jsonl, the page, its plots and tables."""
    write_lines(folder / "cells.jsonl", list(outcome.records.values()))
    split = plan.test_split if outcome.part == "test" else plan.train.val_split
    extras = Extras(
        panels=draw_cases(outcome, open_dataset(plan.data), split),
        picks=_picks(plan, folder),
        features=draw_features(outcome, folder),
        fairness=_fairness(plan, outcome),
        commands=(shlex.join(["sensam", "compare", str(folder / "plan.yaml"), "--out", str(folder)]),),
    )
    return write_report(outcome, folder, extras)


def _fairness(plan: Plan, outcome: Outcome) -> tuple[tuple[str, str], ...]:
    record = next(iter(outcome.records.values()))
    budget = f"{plan.steps} steps on labels" if plan.steps else f"{plan.minutes:g} minutes on labels"
    own = {name: entry.steps for name, entry in plan.entries.items() if entry.steps}
    exceptions = "".join(f"; {name}: {steps} steps" for name, steps in own.items())
    train = plan.train
    augment = "what the sensor's geometry allows" if train.augment is None else str(dict(train.augment))
    return (
        ("budget", f"{budget}, the same for every entry{exceptions}"),
        ("steps", "; ".join(_steps(outcome, name) for name in outcome.complete(outcome.full))),
        ("windows", f"{train.size} pixels, {train.batch} at a time; the same windows in the same order for one seed"),
        ("augmentation", augment),
        (
            "splits",
            f"{train.split} to learn, {train.val_split} to choose by, {plan.test_split} opened after all training",
        ),
        ("teacher", plan.teacher),
        ("data", f"{record.data}, hash {record.data_hash}"),
        ("device", record.device),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("plan", plan.fingerprint()),
    )


def _steps(outcome: Outcome, name: str) -> str:
    """Those of an entry, stage by stage: what inheritance takes on top of the budget must not stay unsaid."""
    return f"{name}: " + ", ".join(f"{count} {stage}" for stage, count in outcome.costs(name).costs.steps.items())


def _picks(plan: Plan, folder: Path) -> str:
    """Shares of chosen bands over time, of the first run that logged them."""
    for cell in plan.cells():
        for run in (inheritance_folder(folder, cell.entry, cell.seed), folder / "runs" / cell.name):
            block = draw_picks(run / "log.csv", folder, f"{cell.entry}, seed {cell.seed}")
            if block:
                return block
    return ""


def draw_picks(log: Path, folder: Path, title: str) -> str:
    """How often each band was chosen so far, from a run's log; nothing where it was not logged."""
    if not log.is_file():
        return ""
    with log.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if any(row.get(name) for name in row if name.startswith(PICKED))]
    if not rows:
        return ""
    bands = [name for name in rows[0] if name.startswith(PICKED)]
    steps = [int(float(row["step"])) for row in rows]
    # A row holds the share since the row before, so it counts for as many steps as lie between.
    since = np.diff([0, *steps])[:, None]
    counted = np.cumsum(np.array([[float(row[name] or 0) for name in bands] for row in rows]) * since, axis=0)
    shares = counted / np.cumsum(since, axis=0)
    drawn = draw_shares(shares, steps, [name.removeprefix(PICKED) for name in bands])
    return plot(save(drawn, folder / "plots" / "picks"), f"{title}. The dashed line is the equal share, 1/C.")
