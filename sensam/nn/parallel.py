"""Adapters beside a network, scaled by a tenth: what they answer is added to what it answers."""

from torch import Tensor, nn

from sensam.nn.bottleneck import Bottleneck
from sensam.nn.wrapping import Wrapped

SCALE = 0.1


def make_adapter(width: int, rank: int) -> Bottleneck:
    """SimMAT's adapter; nothing at first."""
    adapter = Bottleneck(width, rank, nn.ReLU())
    nn.init.zeros_(adapter.down.bias)
    return adapter


class BesideNetwork(Wrapped):
    """An adapter that reads what the network reads."""

    def forward(self, x: Tensor) -> Tensor:
        return self.host(x) + SCALE * self.part(x)


class BesideBlock(Wrapped):
    """An adapter beside the MLP of an encoder's block, which reads the residual stream before it is normalised."""

    def forward(self, x_BhwD: Tensor) -> Tensor:
        block = self.host.get_submodule
        x_BhwD = x_BhwD + block("attn")(block("layer_norm1")(x_BhwD))
        mlp_BhwD: Tensor = block("mlp")(block("layer_norm2")(x_BhwD))
        return x_BhwD + mlp_BhwD + SCALE * self.part(x_BhwD)
