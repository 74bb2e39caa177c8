"""One stage: accumulation equals a larger batch, only what should moves, the best weights are kept, and it stops."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sensam.config import MachineSettings, TrainSettings
from sensam.data.loader import Loader
from sensam.errors import InputError
from sensam.methods.base import Losses, Method, Moment
from sensam.nn.surgery import choose
from sensam.train.checkpoint import Checkpoints, Progress
from sensam.train.display import Display
from sensam.train.journal import Journal
from sensam.train.judges import ClassJudge, Judge, LossJudge
from sensam.train.loop import Desk, Lesson, StageRun
from sensam.train.machine import start_machine
from sensam.types import Batch
from tests.train.tiny import Drawn, Tiny, TinyConfig, tiny_task


class Norms(Tiny):
    """Without batch norm, whose batches are those of one pass and not of a step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(tiny_task(), TinyConfig(dropout=0.0))
        self.body[1] = torch.nn.GroupNorm(1, 4)


def stage_run(
    folder: Path, method: Method, number: int = 1, *, judge: Judge | None = None, samples: int = 11, **settings: Any
) -> StageRun:
    stage = method.stages[number]
    plan = TrainSettings(**{"epochs": 2, "rate": 1e-2, "batch": 4, "log_every": 1, **settings})
    names = [name for name, _ in method.named_parameters()]
    trained = frozenset(choose(names, stage.learns))
    loader, val = Loader(Drawn(samples), batch_size=plan.batch), Loader(Drawn(4), batch_size=3)
    judge = judge or (LossJudge(stage.loss) if stage.judged_by == "loss" else ClassJudge(method.task.classes, 255))
    lesson = Lesson(stage, number, plan, loader, val, judge)
    fabric = start_machine(MachineSettings(accelerator="cpu"))
    desk = Desk(fabric, 0, trained, Checkpoints(folder / "checkpoints"), Journal(folder / "log.csv"), Display())
    return StageRun(desk, method, lesson, Progress(stage=number))


@pytest.mark.slow
def test_accumulating_small_batches_is_one_large_batch(tmp_path: Path) -> None:
    methods = []
    for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
        method = Norms()
        stage_run(tmp_path / str(batch), method, batch=batch, accumulate=accumulate).fit()
        methods.append(method.state_dict())
    for other in methods[1:]:
        for name, weight in methods[0].items():
            torch.testing.assert_close(other[name], weight, rtol=0, atol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("number", [0, 1])
def test_only_what_the_stage_says_moves(tmp_path: Path, number: int) -> None:
    method = Norms()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    stage_run(tmp_path, method, number, weight_decay=0.5).fit()
    moved = {name.split(".")[0] for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == ({"body", "branches"}, {"body", "head"})[number]


def test_a_branch_that_no_step_takes_is_not_even_decayed(tmp_path: Path) -> None:
    method = Norms()
    run = stage_run(tmp_path, method, 0, epochs=None, steps=2, weight_decay=0.5)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    run.fit()
    rows = run.desk.journal.rows if run.desk.journal else []
    taken = {int(float(row["branch"])) for row in rows}
    assert taken
    for branch in range(3):
        name = f"branches.{branch}.weight"
        assert torch.equal(method.state_dict()[name], before[name]) == (branch not in taken)


class Scripted(ClassJudge):
    """Gives the scores of a list, one for each validation."""

    scores: list[float]

    def report(self, total: Tensor) -> dict[str, float]:  # noqa: ARG002 - as every judge
        return {"miou": self.scores.pop(0)}


def scripted(*scores: float) -> Scripted:
    judge = Scripted(("a", "b", "c"), 255)
    object.__setattr__(judge, "scores", list(scores))
    return judge


def test_the_best_weights_are_kept_and_training_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    method, kept = Norms(), {}
    run = stage_run(
        tmp_path, method, judge=scripted(0.1, 0.5, 0.4, 0.5, 0.3, 0.9), epochs=None, steps=6, validations=6, patience=3
    )
    judged = run._judge

    def remember() -> dict[str, float]:
        kept[run.progress.step] = {name: value.clone() for name, value in method.state_dict().items()}
        return judged()

    run._judge = remember  # type: ignore[method-assign]  # to look at the weights of each validation
    assert run.fit() == {"steps": 5, "best_step": 2, "val_miou": 0.5}
    for name, value in method.state_dict().items():
        assert torch.equal(value, kept[2][name])


def test_a_validation_that_measured_nothing_does_not_use_up_patience(tmp_path: Path) -> None:
    judge = scripted(math.nan, math.nan, math.nan, 0.6, 0.1, math.nan, 0.9)
    run = stage_run(tmp_path, Norms(), judge=judge, epochs=None, steps=7, validations=7, patience=2)
    assert run.fit() == {"steps": 6, "best_step": 4, "val_miou": 0.6}


def test_the_rate_halves_after_epochs_and_not_after_steps(tmp_path: Path) -> None:
    run = stage_run(tmp_path, Norms(), epochs=4, halve_every=2, warm_up=0.0)
    assert [run.schedule.at(step * run.epoch_steps) / run.schedule.rate for step in range(4)] == [1, 1, 0.5, 0.5]


def test_the_last_weights_are_kept_where_that_is_asked(tmp_path: Path) -> None:
    run = stage_run(tmp_path, Norms(), judge=scripted(0.9, 0.1), epochs=None, steps=2, validations=2, keep="last")
    last: dict[str, Tensor] = {}
    finish = run._finish

    def remember() -> dict[str, float]:
        last.update({name: value.clone() for name, value in run.method.state_dict().items()})
        return finish()

    run._finish = remember  # type: ignore[method-assign]  # to look at the weights of the last step
    assert run.fit()["best_step"] == 1
    assert all(torch.equal(value, last[name]) for name, value in run.method.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "steps"), [({"epochs": 3}, 9), ({"epochs": 3, "accumulate": 2}, 6), ({"steps": 4}, 4)]
)
def test_it_takes_as_many_steps_as_the_settings_say(tmp_path: Path, settings: dict[str, int], steps: int) -> None:
    if "steps" in settings:
        settings = {**settings, "epochs": None}  # type: ignore[dict-item]  # a length in steps replaces that in epochs
    run = stage_run(tmp_path, Norms(), **settings)
    assert run.fit()["steps"] == steps
    rates = [float(row["rate"]) for row in (run.desk.journal.rows if run.desk.journal else [])]
    assert rates[-1] == TrainSettings().least_rate
    assert len(rates) == steps


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    method = Norms()
    run = stage_run(tmp_path, method, steps=6, epochs=None, validations=0, save_every=1)
    loss = run.lesson.stage.loss

    def breaking(batch: Batch, moment: Moment) -> Losses:
        return {"loss": loss(batch, moment)["loss"] * (float("nan") if moment.step == 3 else 1)}

    run.lesson = replace(run.lesson, stage=replace(run.lesson.stage, loss=breaking))
    run.desk.checkpoints.is_due = lambda: True  # type: ignore[method-assign]  # however long saving takes
    with pytest.raises(InputError, match="is nan before step 4"):
        run.fit()
    progress, weights, _ = run.desk.checkpoints.load(torch.device("cpu"))
    assert progress.step == 3
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize("number", [0, 1])
def test_where_there_is_no_float64_no_sum_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for module in ("loop", "judges", "clicking"):
        monkeypatch.setattr(f"sensam.train.{module}.wide", lambda _: torch.float32)
    run = stage_run(tmp_path, Norms(), number, epochs=None, steps=1, log_every=9)
    run._step(0, next(run._groups(0, 0)))
    assert {value.dtype for value in run._sums.values()} == {torch.float32}
    places, batch = next(zip(run.lesson.validation.places, run.lesson.validation, strict=True))
    found = run.lesson.judge.measure(run.method.eval(), batch, Moment(0, 0, 0, places))
    assert not found.is_floating_point() or found.dtype == torch.float32
