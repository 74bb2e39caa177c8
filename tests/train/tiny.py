"""A method small enough to train in a test: one convolution learns from labels, another without."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sensam.data.sample import Sample
from sensam.methods.base import Losses, Method, MethodConfig, Moment, Stage, Task
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch

NOTHING = Anatomy(
    "tiny", 16, 1, 2, (0,), 2, patch=8, image_size=16, embedding=16, decoder_heads=1, decoder_mlp=8, mask_channels=4
)


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
        self.body = nn.Sequential(
            nn.Conv2d(task.bands, config.width, 3, padding=1, bias=False), nn.BatchNorm2d(config.width)
        )
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


class Drawn:
    """Samples from memory, each a pure function of epoch and index; sizes of labelled areas differ."""

    epoch = 0
    ignore = 255

    def __init__(self, count: int, bands: int = 2, classes: int = 3, side: int = 8) -> None:
        self.count, self.bands, self.classes, self.side = count, bands, classes, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        epoch, index = place if isinstance(place, tuple) else (self.epoch, place)
        dice = np.random.default_rng((epoch, index))
        label_HW = dice.integers(0, self.classes, (self.side, self.side)).astype(np.uint8)
        pixels = dice.normal(label_HW[None], 0.5, (self.bands, self.side, self.side)).astype(np.float32)
        label_HW[: index % self.side] = self.ignore
        ones_C = np.ones(self.bands, np.float32)
        ends_C = np.full(self.bands, np.inf, np.float32)
        return Sample(f"{index}", pixels, None, label_HW, ones_C, 0 * ones_C, -ends_C, ends_C)


class Gaps(Drawn):
    """Samples of which each has less data than the one before; the fourth has none."""

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        sample = super().__getitem__(place)
        valid_CHW = np.ones((self.bands, self.side, self.side), bool)
        valid_CHW[:, :, self.side - (int(sample.key) % 4) * self.side // 3 :] = False
        label_HW = sample.label_HW
        assert label_HW is not None
        label_HW[~valid_CHW[0]] = self.ignore
        return replace(sample, valid_CHW=valid_CHW)


def tiny_task(bands: int = 2, classes: int = 3) -> Task:
    """A task around a SAM that costs nothing."""
    sensor = Sensor.from_dict(
        {"name": "drawn", "bands": [{"name": f"b{band}", "mean": 0, "std": 1} for band in range(bands)]}
    )
    return Task(sensor, tuple(f"class {number}" for number in range(classes)), Sam(NOTHING), 8)


class Mix(nn.Linear):
    """A matrix between hidden layers, for every pixel."""

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return super().forward(image_BCHW.movedim(1, -1)).movedim(-1, 1)


class Mixed(Tiny):
    """Tiny with something to move for an optimiser of matrices."""

    def __init__(self, task: Task, config: TinyConfig) -> None:
        super().__init__(task, config)
        self.body.append(Mix(config.width, config.width))
