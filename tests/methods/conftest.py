"""A tiny SAM with random weights, and tasks and batches around it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from sensam.methods.base import Method, Moment, Stage, Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.nn.surgery import freeze_all_but
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch
from tests.tiny_sam import TINY


def make_sensor(bands: int) -> Sensor:
    return Sensor.from_dict(
        {"name": f"made-{bands}", "bands": [{"name": f"b{n}", "mean": 0.0, "std": 1.0} for n in range(bands)]}
    )


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A task around a tiny SAM whose position tables are not zero, as a trained one's."""

    def make(bands: int = 5, classes: int = 3, **measures: object) -> Task:
        sam = Sam(replace(TINY, **measures)).eval()
        with torch.no_grad():
            for name, weight in sam.named_parameters():
                if "pos" in name or "norm" in name:
                    weight.add_(0.3 * torch.randn(weight.shape))
        names = tuple(f"class {number}" for number in range(classes))
        return Task(make_sensor(bands), names, sam, size=32)

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Random pixels whose sign decides the label."""

    def make(bands: int = 5, count: int = 2, size: int = 32, classes: int = 3, seed: int = 0) -> Batch:
        dice = torch.Generator().manual_seed(seed)
        image = torch.randn(count, bands, size, size, generator=dice)
        label = (image[:, 0] > 0).long() * (1 + (image[:, -1] > 0).long() % (classes - 1))
        valid = torch.ones(count, size, size, dtype=torch.bool)
        return Batch(image, valid, label, tuple(f"image-{number}" for number in range(count)))

    return make


def moment(step: int = 0, count: int = 2, seed: int = 0, epoch: int = 0) -> Moment:
    return Moment(seed, epoch, step, range(step * count, (step + 1) * count))


def learn(method: Method, stage: Stage, batches: list[Batch], rate: float = 1e-3) -> list[dict[str, float]]:
    """One optimiser step a batch: what a stage's declaration means, in five lines. Returns what would be logged."""
    moving = freeze_all_but(method, stage.learns)
    groups = [{"params": [p], "lr": rate * moving[n]} for n, p in method.named_parameters() if n in moving]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.05)
    log = []
    method.train()
    for step, batch in enumerate(batches):
        optimiser.zero_grad()
        losses = stage.loss(batch, moment(step, len(batch)))
        losses["loss"].backward()
        optimiser.step()
        log.append({name: value.item() for name, value in losses.items()})
    return log


@pytest.fixture
def make_e2sam(make_task: Callable[..., Task]) -> Callable[..., E2Sam]:
    def build(bands: int = 5, task: Task | None = None, **settings: Any) -> E2Sam:
        return E2Sam(task or make_task(bands), E2SamConfig.model_validate(settings))

    return build
