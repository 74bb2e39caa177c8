"""Self-attention over a grid of tokens, whole or in windows, with SAM's parameter names."""

from functools import partial

import torch
from torch import Tensor, nn

from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import Attend, attend_auto
from sensam.sam.attention.beside import MoreKeys, attend_beside
from sensam.sam.derived import Derived
from sensam.sam.linear import Linear
from sensam.sam.piecewise import by_rows
from sensam.sam.positions import offsets


class SelfAttention(nn.Module):
    """Attention among the tokens of a window; the whole grid is one window where `window` is 0.

    SAM fills windows that reach over the edge with zero tokens, and attends to them. Nothing is computed for those:
    their keys and values are known (the projection's bias), their own results are thrown away.
    """

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        self.window, self.heads = window, anatomy.heads
        self.attend: Attend = attend_auto
        side, head_width = window or anatomy.grid, anatomy.width // anatomy.heads
        self.qkv: nn.Module = Linear(anatomy.width, 3 * anatomy.width)
        self.proj: nn.Module = Linear(anatomy.width, anatomy.width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, head_width))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, head_width))
        self.row_offsets, self.column_offsets = Derived(offsets), Derived(offsets)

    def forward(self, x_BhwD: Tensor, more: MoreKeys | None = None) -> Tensor:
        """Every window may also attend to `more`: keys and values that have no place in the grid."""
        attend = self.attend if more is None else partial(attend_beside, self.attend, more)
        in_windows = partial(self._in_windows, attend=attend)
        return by_rows(in_windows, x_BhwD, self.window) if self.window else in_windows(x_BhwD)

    def _in_windows(self, x_BhwD: Tensor, attend: Attend) -> Tensor:
        """Whole windows, and those cut by the right or lower edge, each kind at once."""
        h, w = x_BhwD.shape[1:3]
        sides = (self.window or h, self.window or w)
        qkv = self.qkv(x_BhwD).unflatten(-1, (3, self.heads, -1))
        strips = []
        for rows in spans(h, sides[0]):
            kinds = [self._attend(qkv[:, rows, columns], sides, attend) for columns in spans(w, sides[1])]
            strips.append(torch.cat(kinds, 2))
        out: Tensor = self.proj(torch.cat(strips, 1))
        return out

    def _attend(self, qkv: Tensor, sides: tuple[int, int], attend: Attend) -> Tensor:
        """B x h x w x D from B x h x w x 3 x R x d; h and w are multiples of the window's sides, or shorter."""
        B, h, w = qkv.shape[:3]
        real_h, real_w = min(h, sides[0]), min(w, sides[1])
        windows = qkv.unflatten(2, (-1, real_w)).unflatten(1, (-1, real_h)).permute(5, 0, 1, 3, 6, 2, 4, 7)
        query, key, value = windows.flatten(1, 3).unbind()  # windows x R x rows x columns x d
        if (real_h, real_w) != sides:
            _, key_of_zero, value_of_zero = self._of_zero(query)
            key, value = fill(key, key_of_zero, sides), fill(value, value_of_zero, sides)
        row_offsets = self.row_offsets(self.rel_pos_h, sides[0])[:real_h].to(query.dtype)
        column_offsets = self.column_offsets(self.rel_pos_w, sides[1])[:real_w].to(query.dtype)
        rows = torch.einsum("nryxd,ykd->nryxk", query, row_offsets)
        columns = torch.einsum("nryxd,xkd->nryxk", query, column_offsets)
        out = attend(*(part.flatten(2, 3) for part in (query, key, value, rows, columns)))
        out = out.unflatten(0, (B, h // real_h, w // real_w)).unflatten(4, (real_h, real_w))
        return out.permute(0, 1, 4, 2, 5, 3, 6).reshape(B, h, w, -1)

    def _of_zero(self, like: Tensor) -> tuple[Tensor, ...]:
        """Query, key and value of a zero token."""
        if isinstance(self.qkv, nn.Linear):
            qkv = self.qkv.bias
        else:  # an adapter stands in its place
            qkv = self.qkv(like.new_zeros(1, 1, 1, self.heads * like.shape[-1]))
        return qkv.to(like.dtype).view(3, self.heads, 1, 1, -1).unbind()


def spans(length: int, window: int) -> list[slice]:
    """Where whole windows lie along a side, and what remains of it."""
    whole = length - length % window
    return [span for span in (slice(0, whole), slice(whole, length)) if span.stop > span.start]


def fill(windows: Tensor, content: Tensor, sides: tuple[int, int]) -> Tensor:
    """Windows (n x R x rows x columns x d) extended to the right and below by one `content`."""
    n, R, rows, columns, d = windows.shape
    if columns < sides[1]:
        windows = torch.cat([windows, content.expand(n, R, rows, sides[1] - columns, d)], 3)
    if rows < sides[0]:
        windows = torch.cat([windows, content.expand(n, R, sides[0] - rows, sides[1], d)], 2)
    return windows
