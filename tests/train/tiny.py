"""A method small enough to train in a test: one convolution learns from labels, another without."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from sensam.methods.base import Losses, Method, MethodConfig, Moment, Stage, Task
from sensam.types import Batch


class TinyConfig(MethodConfig):
    """Settings that change what is learnt, so that tests can see them arrive."""

    width: int = 4
    branches: int = 3
    dropout: float = 0.1


class Tiny(Method):
    """Stage `inherit` guesses the mean of the bands through one of several branches, `finetune` the classes."""

    paper: ClassVar[str] = "none"
    Config = TinyConfig
    config: TinyConfig

    def __init__(self, task: Task, config: TinyConfig) -> None:
        super().__init__(task, config)
        self.body = nn.Sequential(nn.Conv2d(task.bands, config.width, 3, padding=1), nn.GroupNorm(1, config.width))
        self.branches = nn.ModuleList(nn.Conv2d(config.width, 1, 1) for _ in range(config.branches))
        self.teacher = nn.Conv2d(task.bands, 1, 1)
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Conv2d(config.width, max(1, len(task.classes)), 1)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage(
                "inherit",
                self._imitate,
                {"body.*": 1.0, "branches.*": 1.0},
                needs_labels=False,
                judged_by="loss",
                settings={"rate": 3e-3, "epochs": 2},
                discards=("branches", "teacher"),
            ),
            Stage("finetune", self._classify, {"body.*": 0.5, "head.*": 1.0}, settings={"rate": 1e-2, "epochs": 3}),
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.head(self.drop(torch.relu(self.body(image_BCHW))))

    def _imitate(self, batch: Batch, moment: Moment) -> Losses:
        chosen = int(torch.randint(len(self.branches), (), generator=moment.generator(0)))
        with torch.no_grad():
            wanted = self.teacher(batch.image_BCHW)
        found = self.branches[chosen](self.drop(torch.relu(self.body(batch.image_BCHW))))
        return {"loss": (found - wanted).square().mean(), "branch": torch.tensor(float(chosen))}

    def _classify(self, batch: Batch, moment: Moment) -> Losses:  # noqa: ARG002 - as every loss
        assert batch.label_BHW is not None
        loss = nn.functional.cross_entropy(self(batch.image_BCHW), batch.label_BHW, ignore_index=self.task.ignore)
        return {"loss": loss}
