"""Run by test_machine.py: trains a small method in as many processes as asked, and writes what each of them holds."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from sensam.config import MachineSettings, TrainSettings
from sensam.data.loader import Loader
from sensam.methods.base import Losses, Method, Moment
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.nn.surgery import choose
from sensam.sam.model import Sam
from sensam.train.checkpoint import Checkpoints, Progress
from sensam.train.display import Display
from sensam.train.journal import Journal
from sensam.train.judges import ClassJudge, LossJudge
from sensam.train.loop import Desk, Lesson, StageRun
from sensam.train.machine import start_machine
from sensam.types import Batch
from tests.tiny_sam import TINY
from tests.train.tiny import Drawn, Gaps, Tiny, TinyConfig, tiny_task

SAMPLES = 11  # 4 + 4 + 3: the last step is uneven


def _e2sam() -> E2Sam:
    """With bands that go missing, several triples, weighed classes and places without data."""
    task = replace(tiny_task(bands=9), sam=Sam(TINY), size=24)
    return E2Sam(task, E2SamConfig(band_dropout=0.3, triples=2, class_weights=(1.0, 3.0, 0.5)))


class Starved(Tiny):
    """Its second process runs out of memory after the batch norm of a second step, which both take together."""

    def _imitate(self, batch: Batch, moment: Moment) -> Losses:
        losses = super()._imitate(batch, moment)
        if dist.get_rank() == 1 and moment.step == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return losses


METHODS: Mapping[str, tuple[Callable[[], Method], Callable[[int], Drawn]]] = {
    "tiny": (lambda: Tiny(tiny_task(), TinyConfig(dropout=0.0)), Drawn),
    "starved": (lambda: Starved(tiny_task(), TinyConfig(dropout=0.0)), Drawn),
    "e2sam": (_e2sam, lambda count: Gaps(count, bands=9, side=24)),
}


def teach(folder: Path, name: str, *, world: int, batch: int, accumulate: int = 1, **settings: object) -> Method:
    """Both stages of a method; each process leaves its weights in the folder."""
    fabric = start_machine(MachineSettings(accelerator="cpu", devices=world))
    build, draw = METHODS[name]
    torch.manual_seed(0)
    method = build()
    for number, stage in enumerate(method.stages):
        plan = TrainSettings(
            **{"epochs": 2, "rate": 1e-2, "batch": batch, "accumulate": accumulate, "log_every": 1, **settings}
        )
        places = {"rank": fabric.global_rank, "world": fabric.world_size}
        judge = (
            ClassJudge(method.task.classes, 255)
            if stage.judged_by == "classes"
            else LossJudge(stage.loss, mass=stage.mass)
        )
        loaders = (Loader(draw(count), batch_size=batch, **places) for count in (SAMPLES, 5))
        lesson = Lesson(stage, number, plan, *loaders, judge)
        trained = frozenset(
            name for each in method.stages for name in choose(dict(method.named_parameters()), each.learns)
        )
        home = folder / f"stage-{number}"
        journal = Journal(home / "log.csv") if fabric.is_global_zero else None
        desk = Desk(fabric, 0, trained, Checkpoints(home / "checkpoints"), journal, Display())
        StageRun(desk, method, lesson, Progress(stage=number)).fit()
    torch.save(method.state_dict(), folder / f"weights-{fabric.global_rank}.pt")
    return method


if __name__ == "__main__":
    teach(Path(sys.argv[1]), sys.argv[2], world=2, batch=2, accumulate=2)
