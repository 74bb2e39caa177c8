"""The report of one training run: what it reached on validation, how it got there, and what it was made of."""

import csv
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sensam.config import RunSettings, TrainSettings, read_settings, validate
from sensam.data.dataset import Dataset, open_dataset
from sensam.errors import InputError
from sensam.evaluate.compare.gather import draw_picks
from sensam.evaluate.compare.measure import measure, score
from sensam.evaluate.compare.variant import hash_data
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.records import CellRecord, Costs, Evidence
from sensam.evaluate.report.comparison import PLOTS, class_table, domain_table, draw_bars, draw_pooled, keep
from sensam.evaluate.report.features import draw_features
from sensam.evaluate.report.page import Page, code, facts, paragraph, plot
from sensam.evaluate.report.panels import draw_cases
from sensam.evaluate.report.plots import Point, draw_curves, save
from sensam.files import write_text
from sensam.run import Model, load
from sensam.train.confusion import MIOU_MEANS
from sensam.version import __version__

Row = Mapping[str, str]
DRAWN = {"loss": "loss", "val_miou": "mIoU on validation, %", "val_click_iou": "IoU of clicks, %"}  # columns of the log


def write_run_report(folder: Path, *, device: str = "cpu") -> Path:
    """Write report.html into a run's folder. The test split is not touched: validation is what a run may look at."""
    settings = _settings(folder)
    model, dataset = load(folder, device=device), open_dataset(settings.data)
    rows, data_hash = _log(folder), hash_data(dataset)
    split = _last(settings).val_split
    outcome = None
    if _is_mapped(model, dataset, split):
        outcome = _outcome(folder, settings, model, dataset, split, data_hash, device)
    page = Page(
        f"{settings.method} on {dataset.name}", _subtitle(settings, model, dataset), _summary(outcome, rows, split)
    )
    page.add("progress", "How it learnt", *_progress(rows, folder))
    if outcome is not None:
        tables = [keep(table, folder) for table in (class_table(outcome), domain_table(outcome))]
        page.add("classes", "Classes", draw_bars(outcome, folder), tables[0], draw_pooled(outcome, folder))
        page.add("domains", "Domains", tables[1])
        page.add("pictures", "Pictures", draw_cases(outcome, dataset, split))
        page.add("features", "Features by domain", draw_features(outcome, folder))
    page.add("picks", "Which bands inheritance looked at", draw_picks(folder / "log.csv", folder, settings.method))
    page.add("how", "How it was made", facts(_facts(folder, settings, dataset, data_hash)), code(_command(folder)))
    page.add("settings", "All settings", code((folder / "run.yaml").read_text(encoding="utf-8").strip()))
    path = folder / "report.html"
    write_text(path, page.html())
    return path


def _settings(folder: Path) -> RunSettings:
    if not (folder / "run.yaml").is_file() or not (folder / "metrics.json").is_file():
        raise InputError(
            f"{folder} holds no finished run. Give the --out of a `sensam train`; --resume finishes one that stopped."
        )
    return validate(RunSettings, read_settings(folder / "run.yaml"), str(folder / "run.yaml"))


def _last(settings: RunSettings) -> TrainSettings:
    stages = list(settings.stages.values())
    return stages[-1] if stages else settings.train


def _is_mapped(model: Model, dataset: Dataset, split: str) -> bool:
    """Whether there is something to score: class maps, and labels of a validation split."""
    stages = model.method.stages
    answers_maps = bool(stages) and model.segmenter.knows_classes and stages[-1].judged_by != "clicks"
    return answers_maps and split in dataset.splits and bool(dataset.classes)


def _outcome(
    folder: Path, settings: RunSettings, model: Model, dataset: Dataset, split: str, data_hash: str, device: str
) -> Outcome:
    """The run as a comparison with nobody."""
    evidence: Evidence = measure(model, dataset, split, batch=4, device=device)
    metrics = json.loads((folder / "metrics.json").read_text())
    costs = Costs(
        seconds={"all": float(metrics["seconds"])},
        steps={},
        peak_memory_mb=0.0,
        trained=int(metrics["trained_parameters"]),
        total=sum(parameter.numel() for parameter in model.method.parameters()),
        gflops=None,
    )
    record = CellRecord(
        entry=settings.method,
        method=settings.method,
        seed=settings.seed,
        share=1.0,
        data=dataset.name,
        data_hash=data_hash,
        costs=costs,
        scores={"val": score(evidence, model.classes)},
        device=device,
        versions={},
        command=_command(folder),
    )
    key = (settings.method, settings.seed, 1.0)
    return Outcome(
        *(dataset.name, dataset.classes, dataset.colours, (settings.method,), (settings.seed,), (1.0,)),
        *({key: record}, {key: evidence}, "val"),
    )


def _subtitle(settings: RunSettings, model: Model, dataset: Dataset) -> str:
    count = len(dataset.sensor.bands)
    parts = [dataset.sensor.name, f"{count} band{'s' * (count != 1)}", f"{len(dataset.classes)} classes"]
    parts.append(f"seed {settings.seed}")
    if model.method.adapts_sam:
        parts.append(f"SAM {settings.teacher}")
    return ", ".join(parts)


def _summary(outcome: Outcome | None, rows: Sequence[Row], split: str) -> str:
    steps = sum(max(int(float(row["step"])) for row in rows if row["name"] == name) for name in _stages(rows))
    if outcome is None:
        return paragraph(f"{steps} steps. It answers clicks or has no labelled validation split, so no map is scored.")
    ((_, record),) = outcome.records.items()
    found = record.scores["val"]
    reached = "nothing that can be scored" if found.miou is None else f"{100 * found.miou:.1f} mIoU"
    known = {name: value for name, value in found.iou.items() if value is not None}
    images = f"{found.images} image{'s' * (found.images != 1)}"
    text = f"{reached} on {images} of the validation split ({split}), after {steps} steps."
    if len(known) > 1:
        best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        text += f" Best class {best} ({100 * known[best]:.1f}), hardest {worst} ({100 * known[worst]:.1f})."
    trained = f"It trained {record.costs.trained / 1e6:.2f} M of {record.costs.total / 1e6:.2f} M parameters"
    more = (
        f"{trained} in {record.costs.all_seconds:.0f} seconds. One run cannot tell merit from luck; sensam compare can."
    )
    return paragraph(text) + paragraph(more) + paragraph(f"{MIOU_MEANS}.", soft=True)


def _log(folder: Path) -> list[Row]:
    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _stages(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["name"] for row in rows))


def _progress(rows: Sequence[Row], folder: Path) -> list[str]:
    """The loss of every stage, and what validation found on the way."""
    blocks = []
    for name in _stages(rows):
        inside = [row for row in rows if row["name"] == name]
        for column, label in DRAWN.items():
            scale = 1.0 if column == "loss" else 100.0
            points = {
                float(row["step"]): scale * float(row[column]) for row in inside if row.get(column) not in (None, "")
            }
            if len(points) > 1:
                series = {name: {step: Point(value, value, value) for step, value in points.items()}}
                svg = save(draw_curves(series, "step", label), folder / PLOTS / f"{name}-{column}")
                blocks.append(plot(svg, f"Stage {name}: {label} by step."))
    return blocks


def _facts(folder: Path, settings: RunSettings, dataset: Dataset, data_hash: str) -> list[tuple[str, str]]:
    metrics = json.loads((folder / "metrics.json").read_text())
    splits = ", ".join(f"{name} {len(items)}" for name, items in dataset.splits.items())
    versions = f"sensam {__version__}, torch {torch.__version__}, python {platform.python_version()}"
    return [
        ("data", f"{settings.data} ({splits}), hash {data_hash}"),
        ("seconds", f"{float(metrics['seconds']):.0f}"),
        ("versions", versions),
    ]


def _command(folder: Path) -> str:
    return shlex.join(["sensam", "train", "--config", str(folder / "run.yaml"), "--out", f"{folder}-again"])
