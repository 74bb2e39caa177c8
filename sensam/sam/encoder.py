"""SAM's image encoder for any number of bands and any size, with the parameter names of transformers' checkpoints."""

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import attend_auto, attention_path
from sensam.sam.derived import Derived
from sensam.sam.linear import Linear
from sensam.sam.positions import offsets, resample_grid

TOKENS_AT_ONCE = 1024  # on a CPU, what the widest layers make of so many tokens still lies in its cache


class PatchEmbed(nn.Module):
    """C bands to tokens."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        self.projection = nn.Conv2d(anatomy.bands, anatomy.width, anatomy.patch, anatomy.patch)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.projection(image_BCHW).permute(0, 2, 3, 1)


class SelfAttention(nn.Module):
    """Attention over a grid of tokens, whole or in windows.

    A window that reaches over the edge is filled up with keys and values of zero tokens, as SAM was trained; nothing
    else is computed for tokens that are not there.
    """

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        self.window, self.heads = window, anatomy.heads
        self.attend = attend_auto
        head_width = anatomy.width // anatomy.heads
        side = window or anatomy.grid
        self.qkv = Linear(anatomy.width, 3 * anatomy.width)
        self.proj = Linear(anatomy.width, anatomy.width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, head_width))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, head_width))
        self.row_offsets, self.column_offsets = Derived(offsets), Derived(offsets)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        if self.window:
            return by_rows(self._in_windows, x_BhwD, self.window)
        return self.proj(self._attend(self._heads(x_BhwD), x_BhwD.shape[1], x_BhwD.shape[2]))

    def _heads(self, x_BhwD: Tensor) -> Tensor:
        """Query, key and value of every head: B x h x w x 3 x R x d."""
        heads: Tensor = self.qkv(x_BhwD).unflatten(-1, (3, self.heads, -1))
        return heads

    def _in_windows(self, x_BhwD: Tensor) -> Tensor:
        heads = self._heads(x_BhwD)
        strips = []
        for rows in _spans(x_BhwD.shape[1], self.window):
            parts = [heads[:, rows, columns] for columns in _spans(x_BhwD.shape[2], self.window)]
            strips.append(torch.cat([self._attend(part, self.window, self.window) for part in parts], 2))
        return self.proj(torch.cat(strips, 1))

    def _attend(self, heads: Tensor, side_h: int, side_w: int) -> Tensor:
        """Attention within windows of side_h x side_w; a side of the part is a multiple of the window's, or shorter."""
        B, h, w = heads.shape[:3]
        real_h, real_w = min(h, side_h), min(w, side_w)
        windows = (
            heads.unflatten(2, (-1, real_w)).unflatten(1, (-1, real_h)).permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(1, 3)
        )
        query, key, value = windows.unbind()  # windows x R x rows x columns x d
        if (real_h, real_w) != (side_h, side_w):
            key, value = self._fill(key, value, side_h, side_w)
        row_offsets = self.row_offsets(self.rel_pos_h, side_h)[:real_h].to(query.dtype)
        column_offsets = self.column_offsets(self.rel_pos_w, side_w)[:real_w].to(query.dtype)
        rows = torch.einsum("nryxd,ykd->nryxk", query, row_offsets)
        columns = torch.einsum("nryxd,xkd->nryxk", query, column_offsets)
        out = self.attend(*(x.flatten(2, 3) for x in (query, key, value, rows, columns)))
        out = out.unflatten(0, (B, h // real_h, w // real_w)).unflatten(4, (real_h, real_w))
        return out.permute(0, 1, 4, 2, 5, 3, 6).reshape(B, h, w, -1)

    def _fill(self, key: Tensor, value: Tensor, side_h: int, side_w: int) -> tuple[Tensor, Tensor]:
        """Windows filled up with what the projection makes of a zero token."""
        # For a plain layer that is its bias; whatever may stand in its place is asked.
        zero = self.qkv.bias if isinstance(self.qkv, nn.Linear) else self.qkv(key.new_zeros(self.qkv.in_features))
        _, zero_key, zero_value = zero.to(key.dtype).view(3, self.heads, 1, 1, -1).unbind()
        return fill(key, zero_key, side_h, side_w), fill(value, zero_value, side_h, side_w)


def _spans(length: int, window: int) -> list[slice]:
    """Where whole windows lie along a side, and what remains of it."""
    whole = length - length % window
    return [span for span in (slice(0, whole), slice(whole, length)) if span.stop > span.start]


def fill(windows: Tensor, content: Tensor, side_h: int, side_w: int) -> Tensor:
    """Windows (N x R x rows x columns x d) extended below and to the right by the same `content`."""
    N, R, rows, columns, d = windows.shape
    if columns < side_w:
        windows = torch.cat([windows, content.expand(N, R, rows, side_w - columns, d)], 3)
    if rows < side_h:
        windows = torch.cat([windows, content.expand(N, R, side_h - rows, side_w, d)], 2)
    return windows


def by_rows(function: Callable[[Tensor], Tensor], x_BhwD: Tensor, together: int) -> Tensor:
    """`function` over bands of rows, for a function that acts within each `together` rows.

    In inference on a CPU, where the intermediate results of one band fit into the cache and those of an image do not.
    """
    B, h, w, _ = x_BhwD.shape
    if torch.is_grad_enabled() or x_BhwD.device.type != "cpu" or B * h * w <= TOKENS_AT_ONCE:
        return function(x_BhwD)
    images = max(1, TOKENS_AT_ONCE // (h * w))
    rows = max(1, TOKENS_AT_ONCE // (w * together)) * together
    out = None
    for image in range(0, B, images):
        for row in range(0, h, rows):
            band = slice(image, image + images), slice(row, row + rows)
            result = function(x_BhwD[band])
            out = result.new_empty(x_BhwD.shape) if out is None else out
            out[band] = result
    assert out is not None  # there is a token
    return out


class Mlp(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = Linear(width, 4 * width), Linear(4 * width, width)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        return by_rows(self._apply_layers, x_BhwD, 1)

    def _apply_layers(self, x: Tensor) -> Tensor:
        result: Tensor = self.lin2(F.gelu(self.lin1(x)))
        return result


class Block(nn.Module):
    """Attention and MLP, each on a normalised branch."""

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(anatomy.width, eps=1e-6)
        self.attn = SelfAttention(anatomy, window)
        self.layer_norm2 = nn.LayerNorm(anatomy.width, eps=1e-6)
        self.mlp = Mlp(anatomy.width)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        x_BhwD = x_BhwD + self.attn(self.layer_norm1(x_BhwD))
        return x_BhwD + self.mlp(self.layer_norm2(x_BhwD))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a B x E x h x w map."""

    def forward(self, x_BEhw: Tensor) -> Tensor:
        return super().forward(x_BEhw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Neck(nn.Module):
    """Tokens to the image embedding the mask decoder reads."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, embedding, 1, bias=False)
        self.layer_norm1 = ChannelNorm(embedding, eps=1e-6)
        self.conv2 = nn.Conv2d(embedding, embedding, 3, padding=1, bias=False)
        self.layer_norm2 = ChannelNorm(embedding, eps=1e-6)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        x = self.layer_norm1(self.conv1(x_BhwD.permute(0, 3, 1, 2)))
        return self.layer_norm2(self.conv2(x))


class ImageEncoder(nn.Module):
    """Image to tokens (`tokens`) and to SAM's embedding (calling it).

    With `checkpointing` the backward pass computes each block's activations again instead of keeping them.
    """

    def __init__(self, anatomy: Anatomy, *, neck: bool = True) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.checkpointing = False
        self.patch_embed = PatchEmbed(anatomy)
        self.pos_embed = nn.Parameter(torch.zeros(1, anatomy.grid, anatomy.grid, anatomy.width))
        windows = (0 if block in anatomy.global_blocks else anatomy.window for block in range(anatomy.depth))
        self.layers = nn.ModuleList(Block(anatomy, window) for window in windows)
        self.neck = Neck(anatomy.width, anatomy.embedding) if neck else None
        self.positions = Derived(resample_grid)

    def use_attention(self, name: str) -> Self:
        """Take one path (`sensam.sam.attention.PATHS`) in every block; "auto" at first."""
        path = attention_path(name)
        for layer in self.layers:
            layer.attn.attend = path
        return self

    def tokens(self, image_BCHW: Tensor) -> Tensor:
        """B x h x w x D, before the neck. An edge that is no multiple of the patch is padded with zeros (the mean)."""
        patch = self.anatomy.patch
        pad_h, pad_w = -image_BCHW.shape[-2] % patch, -image_BCHW.shape[-1] % patch
        x = self.patch_embed(F.pad(image_BCHW, (0, pad_w, 0, pad_h)))
        x = (x + self.positions(self.pos_embed, (x.shape[1], x.shape[2]))).contiguous()
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return x

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """B x E x h x w, or B x h x w x D from an encoder built without a neck."""
        tokens = self.tokens(image_BCHW)
        return tokens if self.neck is None else self.neck(tokens)
