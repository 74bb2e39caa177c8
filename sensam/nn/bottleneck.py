"""An adapter's own network: down to a few channels, an activation, and up again; zero at the start if wished."""

from collections.abc import Callable

from torch import Tensor, nn

Layer = Callable[[int, int], nn.Linear]


class Bottleneck(nn.Module):
    """D to r to D. With `starts_at_zero` whatever it is added to is at first unchanged, bit for bit.

    `linear` makes its layers, for hosts that know a faster kind.
    """

    def __init__(
        self, width: int, rank: int, activation: nn.Module, *, starts_at_zero: bool = True, linear: Layer = nn.Linear
    ) -> None:
        super().__init__()
        self.down, self.activation, self.up = linear(width, rank), activation, linear(rank, width)
        if starts_at_zero:
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        return self.up(self.activation(self.down(x_BhwD)))
