"""What is found out about an entry before its cells run: how many steps its minutes hold, and what tuning chooses."""

import json
import math
import shutil
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from sensam.config import TrainSettings
from sensam.data.dataset import open_dataset
from sensam.evaluate.compare.cell import Bench, Settled, Stages, answer, settings_of, stages_of
from sensam.evaluate.compare.costs import Stopwatch
from sensam.evaluate.compare.measure import score
from sensam.evaluate.compare.plan import CONTROL, MINUTES_PROBE, Cell, Entry, Plan, stem_of
from sensam.evaluate.compare.variant import data_of
from sensam.files import write_text
from sensam.run.training import run
from sensam.train.display import Display

WARMING = 2  # steps before the clock: the first ones load files and compile
PAUSE = 1.0  # seconds between two looks at what another process finds out


def settle(bench: Bench, name: str) -> Settled | None:
    """Read or find out what belongs to an entry; None while another process finds it out."""
    path = bench.folder / "settled" / f"{stem_of(name)}.json"
    if not path.is_file():
        with bench.queue.claim(f"settle.{path.stem}") as is_mine:
            if not is_mine:
                return None
            if not path.is_file():
                found = _find_out(bench, name)
                write_text(path, json.dumps({"steps": found.steps, "train": dict(found.train)}) + "\n")
    values = json.loads(path.read_text())
    return Settled(int(values["steps"]), values["train"])


def _find_out(bench: Bench, name: str) -> Settled:
    entry = bench.plan.entries[name]
    stages = stages_of(entry, bench.plan, data_of(entry, name, bench.plan, bench.folder))
    steps = entry.steps or bench.plan.steps or _steps_in_minutes(bench, name, stages)
    return Settled(steps, _tune(bench, name, stages, steps) if entry.tune else {})


def _steps_in_minutes(bench: Bench, name: str, stages: Stages) -> int:
    """How many steps on labels fit into the minutes; the control has those of inheritance besides."""
    assert bench.plan.minutes is not None
    seconds = 60 * bench.plan.minutes + (_longest_inheritance(bench) if name == CONTROL else 0.0)
    labelled = frozenset(stages.names) - stages.unlabelled
    return max(1, math.floor(seconds / _seconds_a_step(bench, name, stages, labelled)))


def _longest_inheritance(bench: Bench) -> float:
    """Seconds that stages without labels take, of the entry with both kinds where they take longest."""
    longest = 0.0
    for name, entry in bench.plan.entries.items():
        stages = stages_of(entry, bench.plan, data_of(entry, name, bench.plan, bench.folder))
        if stages.has_both:
            while (settled := settle(bench, name)) is None:
                time.sleep(PAUSE)
            steps = entry.inherit_steps or bench.plan.inherit_steps or settled.steps
            longest = max(longest, steps * _seconds_a_step(bench, name, stages, stages.unlabelled))
    return longest


def _seconds_a_step(bench: Bench, name: str, stages: Stages, timed: frozenset[str]) -> float:
    """Time a few steps of some stages, and as little of the others as there can be."""
    seconds = []
    for steps in (WARMING, WARMING + MINUTES_PROBE):
        out = bench.folder / "runs" / f"{stem_of(name)}.probe{steps}"
        shutil.rmtree(out, ignore_errors=True)
        cell = Cell(name, bench.plan.seeds[0], max(bench.plan.shares))
        settings = settings_of(bench, cell, Settled(steps, {}), stages, out, None, None)
        brief = settings.train.model_copy(update={"validations": 0})
        lengths = {each: steps if each in timed else 1 for each in stages.names}
        by_stage = {each: _as_long(settings.stages.get(each), length) for each, length in lengths.items()}
        with Stopwatch(out / "seconds.json") as watch:
            run(settings.model_copy(update={"train": brief, "stages": by_stage}), resume=True, display=Display(None))
        seconds.append(watch.seconds)
        shutil.rmtree(out)
    return max((seconds[1] - seconds[0]) / MINUTES_PROBE, 1e-4)


def _as_long(settings: TrainSettings | None, steps: int) -> TrainSettings:
    """What was set for a stage, with another length."""
    given = {} if settings is None else settings.model_dump(exclude_unset=True)
    return TrainSettings.model_validate({**given, "steps": steps})


def _tune(bench: Bench, name: str, stages: Stages, steps: int) -> dict[str, Any]:
    """Try every combination with the first seed and all labels; the validation split alone decides."""
    entry, plan = bench.plan.entries[name], bench.plan
    best: tuple[float, dict[str, Any]] | None = None
    data = data_of(entry, name, plan, bench.folder)
    for number, values in enumerate(product(*entry.tune.values())):
        tried = dict(zip(entry.tune, values, strict=True))
        out = bench.folder / "runs" / f"{stem_of(name)}.tune{number}"
        cell = Cell(name, plan.seeds[0], max(plan.shares))
        model = run(settings_of(bench, cell, Settled(steps, tried), stages, out, None, None), resume=True)
        evidence = answer(bench, model, open_dataset(data), plan.train.val_split)
        reached = score(evidence, model.classes).miou or 0.0
        if best is None or reached > best[0]:
            best = reached, tried
    assert best is not None
    return best[1]


def with_control(plan: Plan, folder: Path) -> Plan:
    """The plan with an untrained start that spends on labels what two-stage entries spend in both stages."""
    if not plan.control or CONTROL in plan.entries:
        return plan
    totals = []
    for name, entry in plan.entries.items():
        stages = stages_of(entry, plan, data_of(entry, name, plan, folder))
        if stages.has_both:
            steps = entry.steps or plan.steps or 0
            totals.append(steps + len(stages.unlabelled) * (entry.inherit_steps or plan.inherit_steps or steps))
    if not totals:
        return plan
    scratch = (each for each in plan.entries.values() if each.method == "scratch" and not (each.bands or each.domains))
    like = next(scratch, Entry(method="scratch"))  # it learns as the untrained start that it is compared with does
    # With minutes nobody knows the steps yet: `settle` finds how many fit, with the time of inheritance besides.
    total = max(totals) if plan.steps is not None else None
    control = Entry(method="scratch", steps=total, settings=like.settings, train=like.train)
    entries: Mapping[str, Entry] = {**plan.entries, CONTROL: control}
    return plan.model_copy(update={"entries": entries})
