"""What CWSAM's tests share: how tasks and batches are made, what learns, and images of any size."""

from collections.abc import Callable

import torch
from torch import Tensor

from sensam.methods.base import Task
from sensam.methods.cwsam import Cwsam
from sensam.nn.surgery import freeze_all_but
from sensam.types import Batch

MakeTask = Callable[..., Task]
MakeBatch = Callable[..., Batch]


def learnt(method: Cwsam) -> dict[str, Tensor]:
    moving = freeze_all_but(method, method.stages[0].learns)
    return {name: weight for name, weight in method.named_parameters() if name in moving}


def image(bands: int, rows: int = 32, columns: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, bands, rows, columns, generator=torch.Generator().manual_seed(7))
