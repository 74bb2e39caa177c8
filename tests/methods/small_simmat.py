"""A small SAM with random weights, SimMAT around it, and batches to learn from."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sensam.methods.base import Moment, Task
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.methods.tuning import AMOUNTS
from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch
from tests.sam.conftest import fill

SMALL = Anatomy(
    "small", 16, 2, 2, (1,), window=3, patch=8, image_size=32, embedding=16, decoder_heads=2, decoder_mlp=16
)


def make_sam(bands: int = 3) -> Sam:
    sam = Sam(replace(SMALL, bands=bands))
    fill(sam, 0)
    return sam.eval()


def sensor_of(bands: int) -> Sensor:
    return Sensor.from_dict({"name": "s", "bands": [f"b{band}" for band in range(bands)], "every_band": {"unit": "DN"}})


def make(bands: int = 4, *, sam: Sam | None = None, seed: int = 0, **settings: Any) -> SimMat:
    if settings.get("strategy", "lora") in AMOUNTS:
        settings.setdefault("amount", 8)
    task = Task(sensor_of(bands), ("ground", "thing", "other"), sam or make_sam(), size=32, seed=seed)
    return SimMat(task, SimMatConfig(**settings))


def batch_of(bands: int, count: int = 2) -> Batch:
    dice = torch.Generator().manual_seed(5)
    label = torch.zeros(count, 32, 32, dtype=torch.int64)
    label[:, 4:20, 6:22], label[:, 22:30, 2:12], label[:, :3] = 1, 2, 255
    image = torch.randn(count, bands, 32, 32, generator=dice) + label.clamp(max=2)[:, None]
    return Batch(image, torch.ones(count, 32, 32, dtype=torch.bool), label, tuple("ab"[:count]))


def moment_of(step: int, count: int = 2) -> Moment:
    return Moment(0, 0, step, range(count * step, count * step + count))


def learn(method: SimMat, batch: Batch, steps: int = 1) -> list[float]:
    (stage,) = method.stages
    moving = freeze_all_but(method, stage.learns)
    optimiser = torch.optim.Adam([p for name, p in method.named_parameters() if name in moving], lr=1e-2)
    method.train()
    losses = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = stage.loss(batch, moment_of(step, len(batch)))["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    method.eval()
    return losses


def weights(method: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in method.named_parameters()}
