"""What a cell is made of, before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sensam.data.dataset import open_dataset
from sensam.errors import SettingsError
from sensam.evaluate.compare.cell import Bench, Settled, full_command, settings_of, stages_of
from sensam.evaluate.compare.measure import count_gflops
from sensam.evaluate.compare.plan import Cell, Plan
from sensam.methods.base import WHOLE, Task
from sensam.methods.scratch import Scratch
from sensam.run import save_model
from sensam.run.model import as_model, describe_model, trained_by
from sensam.sam.weights import load_sam


def test_a_student_can_be_what_all_entries_start_from(
    make_plan: Callable[..., Plan], tiny_sam: Path, drive_data: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(drive_data)
    bands = len(dataset.sensor.bands)
    sensor = dataset.sensor.with_statistics([0.0] * bands, [1.0] * bands)
    student = Scratch(Task(sensor, dataset.classes, load_sam(tiny_sam), size=32), Scratch.Config())
    config = describe_model(student, "scratch", colours=(), stages=("finetune",))
    save_model(tmp_path / "student", student, trained_by(student, ("finetune",)), config, {})
    plan = make_plan(methods=["cwsam"], teacher=str(tmp_path / "student"))
    assert stages_of(plan.entries["cwsam"], plan, plan.data).names == ("adapt",)


def test_operations_of_a_model_that_looks_at_whole_images_are_those_of_an_image(
    tiny_sam: Path, drive_data: Path
) -> None:
    dataset = open_dataset(drive_data)
    bands = len(dataset.sensor.bands)
    sensor = dataset.sensor.with_statistics([0.0] * bands, [1.0] * bands)
    method = Scratch(Task(sensor, dataset.classes, load_sam(tiny_sam), size=32), Scratch.Config())
    config = describe_model(method, "scratch", colours=(), stages=("finetune",))
    whole, window = as_model(method, config | {"size": WHOLE}), as_model(method, config)
    assert count_gflops(whole, (32, 32)) == count_gflops(window, (320, 320)) > 0
    assert count_gflops(whole, (32, 64)) > count_gflops(whole, (32, 32))


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
