"""CWSAM's pair of adapters in a transformer block: one behind its attention, one beside its MLP."""

from typing import Any

from torch import Tensor, nn

from sensam.nn.bottleneck import Bottleneck, Layer

MLP_SHARE = 0.5  # how much of the second adapter's answer is added


class AdapterPair(nn.Module):
    """Runs a block that it does not own: anything with `layer_norm1`, `attn`, `layer_norm2` and `mlp`.

    `space` reads what the attention answers, after its projection and before the residual; `mlp` reads what the MLP
    reads. Behind the attention a window's padding is gone already, of which the authors' adapter throws its answer
    away.
    """

    def __init__(self, width: int, rank: int, *, starts_at_zero: bool = True, linear: Layer = nn.Linear) -> None:
        super().__init__()
        self.space, self.mlp = (
            Bottleneck(width, rank, nn.GELU(), starts_at_zero=starts_at_zero, linear=linear) for _ in range(2)
        )

    def forward(self, block: Any, x_BhwD: Tensor) -> Tensor:
        attended_BhwD: Tensor = block.attn(block.layer_norm1(x_BhwD))
        x_BhwD = x_BhwD + (attended_BhwD + self.space(attended_BhwD))
        normed_BhwD = block.layer_norm2(x_BhwD)
        out_BhwD: Tensor = x_BhwD + block.mlp(normed_BhwD) + MLP_SHARE * self.mlp(normed_BhwD)
        return out_BhwD
