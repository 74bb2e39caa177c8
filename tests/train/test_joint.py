"""The gradient of parts is that of the joint batch, whatever a loss is a mean over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sensam.data.loader import Loader
from sensam.data.sample import Sample
from sensam.methods.base import Method, Stage, Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.segmenting import SegmentingConfig, map_loss, map_mass
from sensam.sam.model import Sam
from sensam.train.loop import _Through
from tests.methods.conftest import make_sensor
from tests.tiny_sam import TINY
from tests.train.test_loop import Norms, stage_run
from tests.train.tiny import Gaps


def gradients(folder: Path, method: Method, number: int, batch: int, accumulate: int) -> dict[str, Tensor]:
    """What the optimiser is given in one step."""
    settings = {"batch": batch, "accumulate": accumulate, "clip": 0, "epochs": None, "steps": 1, "validations": 0}
    run, found = stage_run(folder, method, number, **settings), {}
    run.lesson = replace(run.lesson, loader=Loader(Gaps(4, side=24), batch_size=batch))

    def take() -> None:
        moved = method.named_parameters()
        found.update({name: weight.grad.clone() for name, weight in moved if weight.grad is not None})

    run.optimisers[0].step = take
    run.fit()
    return found


def task() -> Task:
    torch.manual_seed(0)
    return Task(make_sensor(2), ("a", "b", "c"), Sam(TINY), 24)


def student(**settings: object) -> E2Sam:
    return E2Sam(task(), E2SamConfig.model_validate(settings))


WEIGHTS = (0.2, 1.0, 30.0)


class Weighed(Norms):
    """Learns classes as E2SAM and its baselines do, without the batch norm of their decoder."""

    def __init__(self, own: SegmentingConfig) -> None:
        super().__init__()
        self.own = own

    @property
    def stages(self) -> tuple[Stage, ...]:
        first, second = super().stages
        loss, mass = map_loss(self.task, self.own, self), map_mass(self.task, self.own)
        return first, replace(second, loss=loss, mass=mass)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "build"),
    [
        (0, student),
        (0, lambda: student(protocol="paper", teacher_input="standardise", one_triple_a_step=False)),
        (0, lambda: student(neck_loss=1.0, triples=2)),
        (0, lambda: student(match="mmd_token")),
        (1, lambda: Weighed(SegmentingConfig())),
        (1, lambda: Weighed(SegmentingConfig(class_weights=WEIGHTS))),
        (1, lambda: Weighed(SegmentingConfig(class_weights=WEIGHTS, loss="focal"))),
    ],
)
def test_parts_weighed_together_are_the_joint_batch(tmp_path: Path, number: int, build: Callable[[], Method]) -> None:
    joint = gradients(tmp_path / "joint", build(), number, batch=4, accumulate=1)
    assert any(gradient.abs().max() > 1e-3 for gradient in joint.values())
    for batch, accumulate in ((2, 2), (1, 4), (3, 2)):
        parts = gradients(tmp_path / f"{batch}", build(), number, batch, accumulate)
        for name, gradient in joint.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: n + text)


def test_a_step_with_nothing_to_learn_from_moves_nothing(tmp_path: Path) -> None:
    class Nothing(Gaps):
        def __getitem__(self, place: int | tuple[int, int]) -> Sample:
            sample = super().__getitem__(place)
            assert sample.valid_CHW is not None
            return replace(sample, valid_CHW=sample.valid_CHW & False)

    run = stage_run(tmp_path, student(), 0, epochs=None, steps=1, validations=0, weight_decay=0.0)
    run.lesson = replace(run.lesson, loader=Loader(Nothing(4, side=24), batch_size=4))
    before = {name: weight.clone() for name, weight in run.method.state_dict().items()}
    run.fit()
    for name, weight in run.method.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_the_teacher_is_in_no_optimiser_no_traffic_and_no_checkpoint(tmp_path: Path) -> None:
    method = student()
    run = stage_run(tmp_path, method, 0, epochs=None, steps=1, validations=0)
    run.lesson = replace(run.lesson, loader=Loader(Gaps(4, side=24), batch_size=4))
    theirs = {f"method.teacher.{name}" for name in method.teacher.state_dict()}
    assert theirs
    assert theirs <= _Through(method)._ddp_params_and_buffers_to_ignore
    teacher = {id(weight) for weight in method.teacher.parameters()}
    moved = [weight for each in run.optimisers for group in each.param_groups for weight in group["params"]]
    assert moved
    assert not teacher & {id(weight) for weight in moved}
    run.fit()
    _, weights, states = run.desk.checkpoints.load(torch.device("cpu"))
    assert not [name for name in weights if "teacher" in name]
    assert sum(len(state["state"]) for state in states) <= len(moved)
