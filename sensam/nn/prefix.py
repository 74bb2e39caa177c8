"""Prefix tuning: learned keys and values, not projected, that every query of an attention may look at."""

from torch import Tensor, nn

from sensam.nn.prompts import More, uniform_tokens


class Prefix(More):
    """Keys and values of an attention's own. Not the identity at the start."""

    def __init__(self, count: int, width: int, fan: int) -> None:
        super().__init__()
        self.keys = uniform_tokens(count, width, fan)
        self.values = uniform_tokens(count, width, fan)

    def projected(self, qkv: nn.Module, heads: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - nothing to project
        key, value = (tokens.unflatten(-1, (heads, -1)).transpose(0, 1) for tokens in (self.keys, self.values))
        return key, value

    def unprojected(self) -> tuple[Tensor, Tensor]:
        return self.keys, self.values
