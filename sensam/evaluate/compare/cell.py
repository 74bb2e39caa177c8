"""One cell: train an entry with one seed on one share of the labels, score it on validation, and keep a record."""

import json
import platform
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from sensam.config import MachineSettings, RunSettings, TrainSettings, validate
from sensam.data.dataset import Dataset, open_dataset
from sensam.errors import SettingsError, unknown
from sensam.evaluate.compare.costs import Stopwatch, forget_peak, peak_megabytes
from sensam.evaluate.compare.measure import count_gflops, measure, measure_clicks, score
from sensam.evaluate.compare.plan import COMMON, Cell, Entry, Plan, inheritance_folder
from sensam.evaluate.compare.queue import Queue
from sensam.evaluate.compare.variant import data_of, hash_data
from sensam.evaluate.records import CellRecord, Costs, Evidence
from sensam.files import write_text
from sensam.methods import find_method
from sensam.methods.base import WHOLE, Task
from sensam.methods.rebuilding import load_start
from sensam.run import Model, build_method, load
from sensam.run.training import run
from sensam.train.display import Display
from sensam.version import __version__


@dataclass(frozen=True)
class Bench:
    """What all cells of a comparison share."""

    plan: Plan
    folder: Path
    queue: Queue
    machine: MachineSettings
    display: Display
    batch: int = 8  # windows at a time when answers are scored

    @property
    def device(self) -> str:
        return "cuda" if self.machine.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"

    def file(self, cell: Cell, suffix: str) -> Path:
        """A file of a cell."""
        return self.folder / "cells" / f"{cell.name}{suffix}"


@dataclass(frozen=True)
class Settled:
    """What was found out about an entry before its cells: its steps on labels, and what tuning chose."""

    steps: int
    train: Mapping[str, Any]


@dataclass(frozen=True)
class Stages:
    """The names of an entry's stages, in order, and which of them learn without labels."""

    names: tuple[str, ...]
    unlabelled: frozenset[str]
    whole: frozenset[str] = frozenset()  # those that look at whole images, however large the plan's windows are

    @property
    def inherited(self) -> tuple[str, ...]:
        """Stages without labels that come before any with labels: the same for every share of the labels."""
        first = next((place for place, name in enumerate(self.names) if name not in self.unlabelled), 0)
        return self.names[:first]

    @property
    def has_both(self) -> bool:
        return 0 < len(self.unlabelled) < len(self.names)


def stages_of(entry: Entry, plan: Plan, data: str) -> Stages:
    """Asked of the method itself, built once for the purpose."""
    dataset = open_dataset(data)
    sensor = dataset.sensor.with_statistics([0.0] * len(dataset.sensor.bands), [1.0] * len(dataset.sensor.bands))
    task = Task(sensor, dataset.classes, load_start(plan.teacher), plan.train.size, dataset.ignore)
    stages = build_method(entry.method, task, entry.settings).stages
    if plan.judge == "classes" and (not stages or any(stage.judged_by == "clicks" for stage in stages)):
        raise SettingsError(f"{entry.method} answers clicks, not class maps: leave it out of a comparison of maps.")
    if entry.students_of is not None:
        _check_students(entry, plan)
    names = tuple(stage.name for stage in stages)
    unlabelled = frozenset(stage.name for stage in stages if not stage.needs_labels)
    for name, given in entry.stages.items():
        if name not in names:
            raise unknown(f"stage of {entry.method}", name, names)
        wrong = sorted(set(COMMON) & set(given)) if name not in unlabelled else []
        if wrong:
            raise SettingsError(
                f"Stage {name} of {entry.method} learns from labels: {', '.join(wrong)} must be the same for every "
                "entry. Set it under the plan's own train."
            )
    return Stages(names, unlabelled, frozenset(stage.name for stage in stages if stage.settings.get("size") == WHOLE))


def _check_students(entry: Entry, plan: Plan) -> None:
    assert entry.students_of is not None
    theirs, free = plan.entries[entry.students_of].settings, find_method(entry.method).for_labels
    wrong = {each for each in {*entry.settings, *theirs} - free if entry.settings.get(each) != theirs.get(each)}
    if wrong:
        raise SettingsError(
            f"An entry begins from students of {entry.students_of}, which inherit with another "
            f"{', '.join(sorted(wrong))}. Leave students_of out, or change {', '.join(sorted(free)) or 'nothing'} only."
        )


def settings_of(
    bench: Bench, cell: Cell, settled: Settled, stages: Stages, out: Path, begin_from: Path | None, stop: str | None
) -> RunSettings:
    """A cell as a run: what is common is the plan's, whatever the method's paper does."""
    plan, entry = bench.plan, bench.plan.entries[cell.entry]
    inherit_steps = entry.inherit_steps or plan.inherit_steps or settled.steps
    common = {**plan.train.model_dump(exclude_unset=True), **plan.common()}
    train = {**common, **entry.train, **settled.train, "steps": settled.steps, "label_share": cell.share}
    by_stage = _by_stage(plan, entry, stages)
    for name in stages.unlabelled:
        by_stage[name] = {**by_stage.get(name, {}), "steps": inherit_steps}
    values = {
        "data": data_of(entry, cell.entry, plan, bench.folder),
        "method": entry.method,
        "settings": dict(entry.settings),
        "teacher": plan.teacher,
        "seed": cell.seed,
        "out": str(out),
        "train": train,
        "stages": by_stage,
        "begin_from": None if begin_from is None else str(begin_from),
        "stop_after": stop,
        "machine": bench.machine.model_dump(),
        "track": (),
    }
    return validate(RunSettings, values, f"entry {cell.entry}")


def _by_stage(plan: Plan, entry: Entry, stages: Stages) -> dict[str, dict[str, Any]]:
    """How single stages learn, where it differs from the settings for all: the entry's own over the plan's."""
    found: dict[str, dict[str, Any]] = {}
    for name in stages.names:
        whole = {"size": WHOLE} if name in stages.whole else {}
        without_labels = plan.inherit if name in stages.unlabelled else {}
        given = {**whole, **without_labels, **entry.stages.get(name, {})}
        if given:
            found[name] = given
    return found


def train_cell(bench: Bench, cell: Cell, settled: Settled) -> bool:
    """Train and validate a cell and write its record; False where it waits for another process's inheritance."""
    entry = bench.plan.entries[cell.entry]
    data = data_of(entry, cell.entry, bench.plan, bench.folder)
    stages = stages_of(entry, bench.plan, data)
    inherited = _inherit(bench, cell, settled, stages) if stages.inherited else None
    if inherited is not None and not (inherited / "costs.json").is_file():  # the last thing that is written
        return False
    out = bench.folder / "runs" / cell.name
    settings = settings_of(bench, cell, settled, stages, out, inherited, None)
    forget_peak()
    model, seconds = _timed(settings, out, bench.display)
    dataset = open_dataset(data)
    evidence = answer(bench, model, dataset, bench.plan.train.val_split)
    evidence.save(bench.file(cell, ".val.npz"))
    seen = dataset.items(bench.plan.train.val_split)[0]
    spent = {"+".join(stages.names[len(stages.inherited) :]): seconds}
    peaks = [peak_megabytes()]
    if inherited is not None:
        earlier = json.loads((inherited / "costs.json").read_text())
        spent = {"+".join(stages.inherited): float(earlier["seconds"]), **spent}
        peaks.append(float(earlier["peak_memory_mb"]))
    costs = Costs(
        seconds=spent,
        steps={name: int(each.steps or 0) for name, each in model_stages(settings, stages).items()},
        peak_memory_mb=max(peaks),
        trained=int(json.loads((out / "metrics.json").read_text())["trained_parameters"]),
        total=sum(parameter.numel() for parameter in model.method.parameters()),
        gflops=count_gflops(model, dataset.size(seen)) if bench.plan.judge == "classes" else None,
    )
    record = CellRecord(
        entry=cell.entry,
        method=entry.method,
        seed=cell.seed,
        share=cell.share,
        data=dataset.name,
        data_hash=hash_data(dataset),
        costs=costs,
        scores={"val": score(evidence, model.classes)},
        device=_device_name(bench.device),
        versions={"sensam": __version__, "torch": torch.__version__, "python": platform.python_version()},
        command=full_command(bench.plan, entry, data, settled, stages),
    )
    write_text(bench.file(cell, ".json"), record.line() + "\n")
    _drop_checkpoints(out)
    return True


def model_stages(settings: RunSettings, stages: Stages) -> dict[str, TrainSettings]:
    """Every stage with the settings it was run with."""
    return {name: settings.for_stage(name, {}) for name in stages.names}


def _inherit(bench: Bench, cell: Cell, settled: Settled, stages: Stages) -> Path:
    """The stages without labels, once for all shares of the labels; the folder of their run, perhaps unfinished."""
    whole = Cell(bench.plan.entries[cell.entry].students_of or cell.entry, cell.seed, 1.0)
    out = inheritance_folder(bench.folder, whole.entry, whole.seed)
    if (out / "costs.json").is_file():
        return out
    with bench.queue.claim(out.name) as is_mine:
        if is_mine and not (out / "costs.json").is_file():
            settings = settings_of(bench, whole, settled, stages, out, None, stages.inherited[-1])
            forget_peak()
            _, seconds = _timed(settings, out, bench.display)
            write_text(out / "costs.json", json.dumps({"seconds": seconds, "peak_memory_mb": peak_megabytes()}))
            _drop_checkpoints(out)
    return out


def _drop_checkpoints(out: Path) -> None:
    """What a stopped run goes on from, several times as large as the model, which stays."""
    shutil.rmtree(out / "checkpoints", ignore_errors=True)


def _timed(settings: RunSettings, out: Path, display: Display) -> tuple[Model, float]:
    """Run to the end, from wherever an earlier process stopped."""
    if (out / "metrics.json").is_file():  # trained already, but stopped before it was scored
        return load(out), Stopwatch(out / "seconds.json").before
    with Stopwatch(out / "seconds.json") as watch:
        model = run(settings, resume=True, display=display)
    return model, watch.seconds


def examine_cell(bench: Bench, cell: Cell) -> None:
    """Score a trained cell on the test split and add that to its record."""
    record = CellRecord.model_validate_json(bench.file(cell, ".json").read_text())
    model = load(bench.folder / "runs" / cell.name, device=bench.device)
    evidence = answer(bench, model, open_dataset(bench.plan.data), bench.plan.test_split)
    evidence.save(bench.file(cell, ".test.npz"))
    scores = {**record.scores, "test": score(evidence, model.classes)}
    line = record.model_copy(update={"scores": scores}).line()
    write_text(bench.file(cell, ".test.json"), line + "\n")


def answer(bench: Bench, model: Model, dataset: Dataset, split: str) -> Evidence:
    """What the plan asks about a split."""
    if bench.plan.judge == "clicks":
        return measure_clicks(model, dataset, split, device=bench.device)
    return measure(model, dataset, split, batch=bench.batch, device=bench.device)


def full_command(plan: Plan, entry: Entry, data: str, settled: Settled, stages: Stages) -> str:
    """The command that trains an entry on all labels and for as long as its paper does."""
    train = {**plan.train.model_dump(mode="json", exclude_unset=True), **entry.train, **settled.train}
    by_stage = [(f"stages.{name}", given) for name, given in sorted(_by_stage(plan, entry, stages).items())]
    words = ["sensam", "train", data, "--method", entry.method, "--teacher", plan.teacher]
    for part, values in (("train", train), *by_stage, ("settings", entry.settings)):
        for name, value in values.items():
            text = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
            words += ["--set", f"{part}.{name}={text}"]
    return shlex.join([*words, "--out", f"runs/{entry.method}"])


def _device_name(device: str) -> str:
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"cpu, {torch.get_num_threads()} threads, {platform.machine()}"
