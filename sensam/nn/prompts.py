"""Prompt tuning: learned tokens that every query of an attention may look at, without a place in the image."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from sensam.nn.wrapping import Wrapped

DROPOUT = 0.1


def uniform_tokens(count: int, width: int, fan: int) -> nn.Parameter:
    """count x width numbers between -v and v, v^2 = 6 / (fan + width)."""
    reach = math.sqrt(6 / (fan + width))
    return nn.Parameter(torch.empty(count, width).uniform_(-reach, reach))


class More(nn.Module):
    """What an attention sees besides the image: keys and values of its own."""

    @abstractmethod
    def projected(self, qkv: nn.Module, heads: int) -> tuple[Tensor, Tensor]:
        """Keys and values R x P x d for the encoder, whose layer makes query, key and value at once."""

    @abstractmethod
    def unprojected(self) -> tuple[Tensor, Tensor]:
        """Tokens P x D for the decoder, which projects keys and values by itself."""


class Prompt(More):
    """Tokens that pass through the frozen projection like any other. Not the identity at the start."""

    def __init__(self, count: int, width: int, fan: int) -> None:
        super().__init__()
        self.tokens = uniform_tokens(count, width, fan)
        self.dropout = nn.Dropout(DROPOUT)

    def projected(self, qkv: nn.Module, heads: int) -> tuple[Tensor, Tensor]:
        # Unlike the paper: computed once for all windows and images, which see one draw of the dropout.
        _, key, value = qkv(self.dropout(self.tokens)).unflatten(-1, (3, heads, -1)).permute(1, 2, 0, 3)
        return key, value

    def unprojected(self) -> tuple[Tensor, Tensor]:
        return self.dropout(self.tokens), self.dropout(self.tokens)


class WithMoreKeys(Wrapped):
    """An encoder's attention, whose windows all see the same further keys and values."""

    part: More

    def forward(self, x_BhwD: Tensor) -> Tensor:
        qkv, heads = self.host.get_submodule("qkv"), int(self.host.heads)  # type: ignore[arg-type]  # a plain number
        return self.host(x_BhwD, self.part.projected(qkv, heads))


class WithMoreTokens(Wrapped):
    """A decoder's attention (B x N x T x E), whose prompts all see the same further tokens."""

    part: More

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **others: Any) -> Any:
        more_key_PE, more_value_PE = self.part.unprojected()
        return self.host(query=query, key=_append(key, more_key_PE), value=_append(value, more_value_PE), **others)


def _append(tokens_BNTE: Tensor, more_PE: Tensor) -> Tensor:
    more = more_PE.to(tokens_BNTE.dtype).expand(*tokens_BNTE.shape[:-2], -1, -1)
    return torch.cat([tokens_BNTE, more], -2)
