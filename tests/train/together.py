"""Run by test_machine.py: trains the tiny method in as many processes as asked, and writes what each of them holds."""

import sys
from pathlib import Path

import torch

from sensam.config import MachineSettings, TrainSettings
from sensam.data.loader import Loader
from sensam.nn.surgery import choose
from sensam.train.checkpoint import Checkpoints, Progress
from sensam.train.display import Display
from sensam.train.journal import Journal
from sensam.train.judges import ClassJudge, LossJudge
from sensam.train.loop import Desk, Lesson, StageRun
from sensam.train.machine import start_machine
from tests.train.tiny import Drawn, Tiny, TinyConfig, tiny_task

SAMPLES = 11  # 4 + 4 + 3: the last step is uneven


def teach(folder: Path, world: int, batch: int, accumulate: int = 1, **settings: object) -> Tiny:
    """Both stages of the tiny method; each process leaves its weights in the folder."""
    fabric = start_machine(MachineSettings(accelerator="cpu", devices=world))
    torch.manual_seed(0)
    method = Tiny(tiny_task(), TinyConfig(dropout=0.0))
    for number, stage in enumerate(method.stages):
        plan = TrainSettings(
            **{"epochs": 2, "rate": 1e-2, "batch": batch, "accumulate": accumulate, "log_every": 1, **settings}
        )
        places = {"rank": fabric.global_rank, "world": fabric.world_size}
        judge = ClassJudge(method.task.classes, 255) if stage.judged_by == "classes" else LossJudge(stage.loss)
        loaders = (Loader(Drawn(count), batch_size=batch, **places) for count in (SAMPLES, 5))
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
    teach(Path(sys.argv[1]), world=2, batch=2)
