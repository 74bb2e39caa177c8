"""What a cell is made of, before anything is trained."""

from collections.abc import Callable
from pathlib import Path

from sensam.data.dataset import open_dataset
from sensam.evaluate.compare.cell import stages_of
from sensam.evaluate.compare.plan import Plan
from sensam.methods.base import Task
from sensam.methods.scratch import Scratch
from sensam.run import save_model
from sensam.run.model import describe_model, trained_by
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
