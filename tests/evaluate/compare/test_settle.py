"""What belongs to an entry is found out by a clock and by validation, here with a clock and scores of our own."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sensam.config import RunSettings
from sensam.evaluate.compare import settle as settling
from sensam.evaluate.compare.cell import Bench
from sensam.evaluate.compare.plan import CONTROL, Plan
from sensam.evaluate.compare.settle import settle
from sensam.evaluate.records import Evidence

MakePlan, MakeBench = Callable[..., Plan], Callable[[Plan], Bench]
SECONDS = {"inherit": 0.25, "finetune": 0.5}  # of a step


@pytest.fixture
def _a_clock_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Watch:
        def __init__(self, path: Any) -> None:
            path.parent.mkdir(parents=True)

        def __enter__(self) -> "Watch":
            self.start = now[0]
            return self

        def __exit__(self, *_: object) -> None:
            self.seconds = now[0] - self.start

    def run(settings: RunSettings, **_: Any) -> None:
        now[0] += 3.0  # loading
        for stage in settings.stages:
            now[0] += SECONDS[stage] * int(settings.for_stage(stage, {}).steps or 0)

    monkeypatch.setattr(settling, "Stopwatch", Watch)
    monkeypatch.setattr(settling, "run", run)


def steps_of(bench: Bench, name: str) -> int:
    found = settle(bench, name)
    assert found is not None
    assert not list((bench.folder / "runs").glob("*probe*"))
    return found.steps


@pytest.mark.slow
@pytest.mark.usefixtures("_a_clock_of_our_own")
def test_minutes_are_as_many_steps_on_labels_as_fit(make_plan: MakePlan, make_bench: MakeBench) -> None:
    own_rate = {"method": "scratch", "stages": {"finetune": {"rate": 1e-3}}}
    entries = {"plain": {"method": "scratch"}, "own rate": own_rate, "own length": {"method": "scratch", "steps": 7}}
    bench = make_bench(make_plan(entries=entries, minutes=1))
    assert [steps_of(bench, name) for name in entries] == [120, 120, 7]


@pytest.mark.slow
@pytest.mark.usefixtures("_a_clock_of_our_own")
@pytest.mark.parametrize(("inherit_steps", "control"), [(None, 180), (40, 140)])
def test_the_control_has_the_minutes_of_both_stages(
    make_plan: MakePlan, make_bench: MakeBench, inherit_steps: int | None, control: int
) -> None:
    bench = make_bench(make_plan(methods=["scratch", "e2sam"], minutes=1, inherit_steps=inherit_steps))
    assert list(bench.plan.entries) == ["scratch", "e2sam", CONTROL]
    assert steps_of(bench, "scratch") == steps_of(bench, "e2sam") == 120
    assert steps_of(bench, CONTROL) == control


def test_the_control_learns_as_the_untrained_start_does(make_plan: MakePlan, make_bench: MakeBench) -> None:
    entries = {
        "by day": {"method": "scratch", "domains": ["daytime"]},
        "scratch": {"method": "scratch", "settings": {"loss": "dice"}, "train": {"rate": 3e-4}},
        "e2sam": {"method": "e2sam"},
    }
    plan = make_bench(make_plan(entries=entries, inherit_steps=3)).plan
    control, like = plan.entries[CONTROL], plan.entries["scratch"]
    assert (control.settings, control.train, control.steps) == (like.settings, like.train, 5)
    assert control.domains is None


def test_tuning_takes_what_is_best_on_validation(
    make_plan: MakePlan, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    right = {1e-4: 60, 3e-4: 90, 1e-3: 70}  # of 100 pixels

    def answer(_: Bench, model: SimpleNamespace, __: object, split: str) -> Evidence:
        asked.append(split)
        good = right[model.rate]
        return Evidence(("a",), ("",), np.array([[[good, 100 - good], [100 - good, good]]]))

    def run(settings: RunSettings, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(rate=settings.for_stage("finetune", {}).rate, classes=("a", "b"))

    monkeypatch.setattr(settling, "run", run)
    monkeypatch.setattr(settling, "answer", answer)
    bench = make_bench(make_plan(entries={"tuned": {"method": "scratch", "tune": {"rate": list(right)}}}))
    found = settle(bench, "tuned")
    assert found is not None
    assert found.train == {"rate": 3e-4}
    assert asked == ["val"] * 3
