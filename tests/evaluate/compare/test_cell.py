"""What a cell is made of, before anything is trained."""

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.config import EPOCHS, RunSettings
from sensam.data.dataset import open_dataset
from sensam.errors import InputError, SettingsError
from sensam.evaluate.compare import cell as cells
from sensam.evaluate.compare.cell import Bench, Settled, full_command, settings_of, stages_of, train_cell
from sensam.evaluate.compare.measure import count_gflops, score
from sensam.evaluate.compare.plan import Cell, Plan
from sensam.evaluate.records import Evidence
from sensam.methods.base import WHOLE, Task
from sensam.methods.rebuilding import trained_by
from sensam.methods.scratch import Scratch
from sensam.run import save_model
from sensam.run.model import as_model, describe_model
from sensam.sam.weights import load_sam
from sensam.train.confusion import Confusion


def untrained(tiny_sam: Path, drive_data: Path) -> Scratch:
    """A method for the data set, with statistics that change nothing."""
    dataset = open_dataset(drive_data)
    bands = len(dataset.sensor.bands)
    sensor = dataset.sensor.with_statistics([0.0] * bands, [1.0] * bands)
    return Scratch(Task(sensor, dataset.classes, load_sam(tiny_sam), size=32), Scratch.Config())


def test_scores_of_a_cell_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence(("a",), ("",), np.array([[[90, 5], [5, 20]]]))
    assert score(evidence, ("no", "fog")).accuracy == pytest.approx(110 / 120)
    monkeypatch.setattr(Confusion, "miou", 0.9)
    with pytest.raises(InputError, match="no and fog contradict"):
        score(evidence, ("no", "fog"))


@pytest.mark.slow
def test_a_student_can_be_what_all_entries_start_from(
    make_plan: Callable[..., Plan], tiny_sam: Path, drive_data: Path, tmp_path: Path
) -> None:
    student = untrained(tiny_sam, drive_data)
    config = describe_model(student, "scratch", colours=(), stages=("finetune",))
    save_model(tmp_path / "student", student, trained_by(student, ("finetune",)), config, {})
    plan = make_plan(methods=["cwsam"], teacher=str(tmp_path / "student"))
    assert stages_of(plan.entries["cwsam"], plan, plan.data).names == ("adapt",)


def test_operations_of_a_model_that_looks_at_whole_images_are_those_of_an_image(
    tiny_sam: Path, drive_data: Path
) -> None:
    method = untrained(tiny_sam, drive_data)
    config = describe_model(method, "scratch", colours=(), stages=("finetune",))
    whole, window = as_model(method, config | {"size": WHOLE}), as_model(method, config)
    assert count_gflops(whole, (32, 32)) == count_gflops(window, (320, 320)) > 0
    assert count_gflops(whole, (32, 64)) > count_gflops(whole, (32, 32))


@pytest.mark.slow
def test_a_single_stage_learns_as_its_entry_says(
    make_plan: Callable[..., Plan], make_bench: Callable[[Plan], Bench]
) -> None:
    stages = {"rectify": {"rate": 2e-5, "batch": 1}}
    entries = {"ours": {"method": "goodsam", "stages": stages}}
    plan = make_plan(entries=entries, inherit={"batch": 3}, inherit_steps=5, train={"rate": 1e-3})
    cell, settled = Cell("ours", 0, 1.0), Settled(2, {})
    found = stages_of(plan.entries["ours"], plan, plan.data)
    settings = settings_of(make_bench(plan), cell, settled, found, Path("out"), None, None)
    each = {name: settings.for_stage(name, {}) for name in found.names}
    assert {name: (stage.rate, stage.batch, stage.steps, stage.size) for name, stage in each.items()} == {
        "assistant": (1e-3, 2, 2, 32),
        "rectify": (2e-5, 1, 5, WHOLE),  # whole images, however large the windows of all others are
        "distil": (1e-3, 3, 5, WHOLE),
    }
    command = full_command(plan, plan.entries["ours"], plan.data, settled, found)
    assert "--set stages.rectify.batch=1" in command
    assert "--set stages.distil.batch=3" in command
    assert f"--set stages.distil.size={WHOLE}" in command


def test_the_command_trains_what_was_compared_for_as_long_as_its_paper_does(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {"ours": {"method": "scratch", "train": {"warm_up": 0.2}, "settings": {"loss": "ce+dice"}}}
    plan = make_plan(entries=entries, shares=[0.5], train={"rate": 2e-3, "augment": {"flip": False}})
    entry = plan.entries["ours"]
    settled = Settled(2, {"weight_decay": 0.01})
    command = shlex.split(full_command(plan, entry, plan.data, settled, stages_of(entry, plan, plan.data)))
    given: list[RunSettings] = []

    def stop(settings: RunSettings, **_: object) -> None:
        given.append(settings)
        raise InputError("enough")

    monkeypatch.setattr("sensam.run.training.run", stop)
    CliRunner().invoke(app, command[1:])
    (settings,) = given
    train = settings.for_stage("finetune", {})
    assert (settings.data, settings.method, settings.teacher) == (plan.data, "scratch", plan.teacher)
    assert settings.settings == {"loss": "ce+dice"}
    assert (train.rate, train.warm_up, train.weight_decay) == (2e-3, 0.2, 0.01)
    assert (train.size, train.batch, train.augment) == (32, 2, {"flip": False})
    assert (train.steps, train.epochs, train.label_share) == (None, EPOCHS, 1.0)


def test_a_cell_waits_until_its_inheritance_is_whole(
    make_plan: Callable[..., Plan], make_bench: Callable[[Plan], Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(make_plan(methods=["e2sam"], control=False))
    (tmp_path / "metrics.json").write_text("{}")  # trained, but what it took is not written yet
    monkeypatch.setattr(cells, "_inherit", lambda *_: tmp_path)
    monkeypatch.setattr(cells, "run", lambda *_, **__: pytest.fail("began from what is not whole"))
    assert not train_cell(bench, Cell("e2sam", 0, 1.0), Settled(2, {}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ({"rectfy": {"rate": 1e-3}}, "rectfy.*rectify"),
        ({"assistant": {"batch": 1}}, "assistant of goodsam learns from labels: batch must be the same"),
    ],
)
def test_a_stage_that_cannot_differ(make_plan: Callable[..., Plan], stages: dict[str, object], complaint: str) -> None:
    plan = make_plan(entries={"ours": {"method": "goodsam", "stages": stages}})
    with pytest.raises(SettingsError, match=complaint):
        stages_of(plan.entries["ours"], plan, plan.data)
