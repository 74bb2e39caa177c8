"""A network rendered so that a tracer sees the same arithmetic for images of every size.

Our own code asks, image by image, which windows the edge cuts, whether a table must be resampled and which matrix
product is fastest. A tracer answers such questions once, for the image it traces, and drops them: the graph is then
wrong for every other image. Here nothing is asked. Windows at the edge are filled as SAM fills them and computed whole,
and tables are resampled also where they fit: slower, and meant for exports alone.
"""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.export.graph import portable
from sensam.nn.lowpass import FrequencyFilter, highest
from sensam.sam.attention.beside import MoreKeys, attend_beside
from sensam.sam.attention.explicit import attend_explicit
from sensam.sam.encoder import ImageEncoder
from sensam.sam.positions import offsets
from sensam.sam.windows import SelfAttention


def any_size(network: nn.Module) -> nn.Module:
    """A copy on the CPU that computes the same by the same steps whatever the size of the image."""
    return _rendered(portable(network))


def multiple(network: nn.Module) -> int:
    """What the sides of its images must be multiples of: the patch, since how much is padded depends on the size."""
    patches = [module.anatomy.patch for module in network.modules() if isinstance(module, ImageEncoder)]
    return max(patches, default=1)


def _rendered(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _rendered(child))
    if isinstance(module, ImageEncoder):
        module.positions = _AnyGrid()  # type: ignore[assignment]  # stands for it
    if isinstance(module, FrequencyFilter):
        return _AnyFilter(module)
    return _AnyWindows(module) if isinstance(module, SelfAttention) else module


class _AnyGrid(nn.Module):
    """SAM's learned grid (`sensam.sam.positions.resample_grid`), resampled also to the size that it has."""

    def forward(self, grid_1hwD: Tensor, size: tuple[Any, Any]) -> Tensor:
        channels_first = grid_1hwD.permute(0, 3, 1, 2)
        return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


class _AnyWindows(nn.Module):
    """`SelfAttention` over whole windows only."""

    def __init__(self, host: SelfAttention) -> None:
        super().__init__()
        self.window, self.heads, self.qkv, self.proj = host.window, host.heads, host.qkv, host.proj
        rows, columns = host.rel_pos_h.detach(), host.rel_pos_w.detach()
        if self.window:
            rows, columns = offsets(rows, self.window), offsets(columns, self.window)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, x_BhwD: Tensor, more: MoreKeys | None = None) -> Tensor:
        h, w = x_BhwD.shape[1], x_BhwD.shape[2]
        if not self.window:
            rows, columns = _any_offsets(self.get_buffer("rows"), h), _any_offsets(self.get_buffer("columns"), w)
            whole: Tensor = self.proj(self._attend(self.qkv(x_BhwD), rows, columns, more))
            return whole
        side = self.window
        high, wide = (h + side - 1) // side, (w + side - 1) // side
        windows = _filled(_filled(x_BhwD, 1, high * side), 2, wide * side)
        windows = windows.unflatten(1, (high, side)).unflatten(3, (wide, side)).transpose(2, 3).flatten(0, 2)
        out = self.proj(self._attend(self.qkv(windows), self.get_buffer("rows"), self.get_buffer("columns"), more))
        out = out.unflatten(0, (-1, high, wide)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return _first(_first(out, 1, h), 2, w)

    def _attend(self, qkv_NyxF: Tensor, row_offsets: Tensor, column_offsets: Tensor, more: MoreKeys | None) -> Tensor:
        query, key, value = qkv_NyxF.unflatten(-1, (3, self.heads, -1)).permute(3, 0, 4, 1, 2, 5).unbind()
        rows = query @ row_offsets.transpose(1, 2)
        columns = (query.transpose(2, 3) @ column_offsets.transpose(1, 2)).transpose(2, 3)
        attend = attend_explicit if more is None else partial(attend_beside, attend_explicit, more)
        out = attend(*(part.flatten(2, 3) for part in (query, key, value, rows, columns)))
        return out.transpose(1, 2).flatten(2).unflatten(1, (qkv_NyxF.shape[1], qkv_NyxF.shape[2]))


class _AnyFilter(nn.Module):
    """`FrequencyFilter` by products with a matrix for each axis, since exported Fourier transforms keep their length.

    The cut is one of rows and one of columns, and lets a frequency and its opposite pass or neither: both are real.
    """

    def __init__(self, host: FrequencyFilter) -> None:
        super().__init__()
        if host.as_published:
            raise SettingsError("The published filter cuts by area and is exported for one size: leave --any-size out.")
        self.kept, self.rate = host.kept, host.rate

    def forward(self, image_BCHW: Tensor) -> Tensor:
        rows_HH, columns_WW = (_low_pass(image_BCHW.shape[axis], self.rate) for axis in (-2, -1))
        low_BCHW = rows_HH @ image_BCHW @ columns_WW  # symmetric
        high_BCHW = image_BCHW - low_BCHW
        parts = {"low": [low_BCHW], "high": [high_BCHW], "both": [high_BCHW, low_BCHW]}
        return torch.cat(parts[self.kept], dim=1)


def _low_pass(length: Any, rate: float) -> Tensor:
    """What `sensam.nn.lowpass.keep_low` does to one axis, as a matrix."""
    place = torch.arange(length)
    frequency = torch.minimum(place, length - place)
    turns = (place[:, None] * place[None, :]).remainder(place[-1] + 1)  # exact: angles of large products would not be
    angle = 2 * math.pi * turns.to(torch.float32) / length
    kept = (frequency.to(torch.float32) / length <= highest(rate)).to(torch.float32)
    return ((angle.cos() * kept) @ angle.cos().t() + (angle.sin() * kept) @ angle.sin().t()) / length


def _any_offsets(table_LD: Tensor, length: Any) -> Tensor:
    """`sensam.sam.positions.offsets`, resampled also to the length that the table has."""
    resampled = F.interpolate(table_LD.t()[None], size=2 * length - 1, mode="linear")[0].t()
    place = torch.arange(length)
    return resampled[place[:, None] - place[None, :] + length - 1]


def _filled(x: Tensor, axis: int, length: Any) -> Tensor:
    """Zeros behind an axis, up to a length. By places rather than by padding, which asks whether there is any."""
    place = torch.arange(length)
    is_there = (place < x.shape[axis]).to(x.dtype)
    there = x.index_select(axis, place.clamp(max=x.shape[axis] - 1))
    return there * is_there.view(-1, *[1] * (x.ndim - axis - 1))


def _first(x: Tensor, axis: int, length: Any) -> Tensor:
    return x.index_select(axis, torch.arange(length))
