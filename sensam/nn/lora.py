"""LoRA as SimMAT uses it: what a linear layer gains through r directions; folded into its weights for inference.

Not through peft: SAM's encoder holds query, key and value in one linear layer, and peft would give the three one common
down-projection and adapt the key as well. SimMAT adapts query and value, each with matrices of its own.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.nn.wrapping import Wrapped

Model = TypeVar("Model", bound=nn.Module)


class LowRank(nn.Module):
    """Inputs to r numbers to outputs, without bias, dropout or scaling; all zeros at first."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up)


class LowRankLinear(Wrapped):
    """A linear layer whose outputs fall into `shares` equal parts, of which some are tuned."""

    def __init__(self, host: nn.Linear, rank: int, tuned: Mapping[str, int], shares: int = 1) -> None:
        width = host.out_features // shares
        super().__init__(host, nn.ModuleDict({name: LowRank(host.in_features, width, rank) for name in tuned}))
        self.tuned, self.shares = dict(tuned), shares

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.host(x).chunk(self.shares, -1))
        for name, place in self.tuned.items():
            parts[place] = parts[place] + self.part.get_submodule(name)(x)
        return parts[0] if self.shares == 1 else torch.cat(parts, -1)

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The host, its weights changed so that it answers as both did together."""
        weight: Tensor = self.host.get_parameter("weight")
        width = len(weight) // self.shares
        for name, place in self.tuned.items():
            low_rank = self.part.get_submodule(name)
            down, up = low_rank.get_parameter("down"), low_rank.get_parameter("up")
            weight[place * width : (place + 1) * width] += up @ down
        return self.host


def tune_query_and_value(linear: nn.Linear, rank: int) -> LowRankLinear:
    """A fused layer of query, key and value."""
    return LowRankLinear(linear, rank, {"query": 0, "value": 2}, shares=3)


def tune_whole(linear: nn.Linear, rank: int) -> LowRankLinear:
    """A layer of its own."""
    return LowRankLinear(linear, rank, {"all": 0})


def fold_low_rank(model: Model) -> Model:
    """Fold every low-rank part into its host, in place: the same answers at the cost of the plain model."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, child.folded())
    return model
