"""Windows over panoramas: overlapping crops that go around the seam, and their merging."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil, pi, sin

import torch
from torch import Tensor

from sensam.data.lens import Lens
from sensam.data.plan import FLOOR
from sensam.errors import InputError, SettingsError


@dataclass(frozen=True, slots=True, eq=False)
class CropOverlap:
    """A rectangle that two neighbouring windows share: where it lies in each, and its first row in the panorama."""

    first: int
    second: int
    in_first: tuple[slice, slice]
    in_second: tuple[slice, slice]
    top: int
    area: Tensor

    def sides(self, views_BVChw: Tensor) -> tuple[Tensor, Tensor]:
        """The rectangle as each of the two shows it, B x C x rows x columns."""
        return (
            views_BVChw[:, self.first][(..., *self.in_first)],
            views_BVChw[:, self.second][(..., *self.in_second)],
        )


@dataclass(frozen=True)
class WindowPlan:
    """K windows of one shape over a panorama, row by row; columns past the right edge go on at the left."""

    lens: Lens
    shape: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.lens.size

    @property
    def wraps(self) -> bool:
        return self.lens.wraps

    @property
    def key(self) -> tuple[object, ...]:
        return self.corners, self.shape, *self.lens.key

    @cached_property
    def areas_Vhw(self) -> Tensor:
        """What each pixel of a window counts: the panorama's, cropped."""
        return self.cut(self.lens.area_HW[None, None])[0, :, 0]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Top and left of each window."""
        return tuple(product(self.tops, self.lefts))

    def columns(self, left: int, device: torch.device | None = None) -> Tensor:
        """The panorama's columns that a window shows."""
        return (left + torch.arange(self.shape[1], device=device)) % self.size[1]

    def cut(self, image_BCHW: Tensor) -> Tensor:
        """The windows of images, B x K x C x h x w."""
        self._expect(image_BCHW, self.size)
        height = self.shape[0]
        parts = [
            image_BCHW[..., top : top + height, :].index_select(-1, self.columns(left, image_BCHW.device))
            for top, left in self.corners
        ]
        return torch.stack(parts, 1)

    def cut_valid(self, valid_BHW: Tensor) -> Tensor:
        """Which pixels of the windows are valid, B x K x h x w."""
        return self.cut(valid_BHW[:, None])[:, :, 0] & (self.areas_Vhw > 0).to(valid_BHW.device)

    def cut_level(self, level_BDhw: Tensor, stride: int) -> Tensor:
        """Features in the cells of each window, B x K x D x rows x columns.

        Where windows begin between two cells, features are interpolated, around the seam as well.
        """
        rows, columns = (-(-side // stride) for side in self.shape)
        crops = []
        for top, left in self.corners:
            across = _between(level_BDhw, left / stride, columns, wraps=self.wraps)
            crops.append(_between(across.transpose(-1, -2), top / stride, rows, wraps=False).transpose(-1, -2))
        return torch.stack(crops, 1)

    def merge(self, windows_BKChw: Tensor) -> Tensor:
        """The mean of all windows at every pixel, B x C x H x W, each counting most in its middle."""
        self._expect(windows_BKChw, self.shape)
        batch, _, planes = windows_BKChw.shape[:3]
        total_BCHW = windows_BKChw.new_zeros((batch, planes, *self.size))
        weight_hw = self.weight_hw.to(windows_BKChw)
        for number, (top, left) in enumerate(self.corners):
            rows_BChW = total_BCHW[..., top : top + self.shape[0], :]
            rows_BChW.index_add_(-1, self.columns(left, total_BCHW.device), windows_BKChw[:, number] * weight_hw)
        return total_BCHW / self._total_HW.to(windows_BKChw)

    @cached_property
    def weight_hw(self) -> Tensor:
        """How much each pixel of a window counts: most in the middle, along the columns and, if cut, the rows."""
        height, width = self.shape
        across_w = torch.tensor([sin(pi * (column + 0.5) / width) + FLOOR for column in range(width)])
        if len(self.tops) == 1:
            return across_w.expand(height, width)
        down_h = torch.tensor([sin(pi * (row + 0.5) / height) + FLOOR for row in range(height)])
        return down_h[:, None] * across_w

    @cached_property
    def _total_HW(self) -> Tensor:
        total_HW = torch.zeros(self.size)
        for top, left in self.corners:
            total_HW[top : top + self.shape[0]].index_add_(-1, self.columns(left), self.weight_hw.contiguous())
        return total_HW

    def overlaps(self) -> Iterator[CropOverlap]:
        """Every pair of neighbours that share pixels: to the right (around the seam as well) and below."""
        across, down = len(self.lefts), len(self.tops)
        height, width = self.shape
        for row, column in product(range(down), range(across)):
            here = row * across + column
            if column + 1 < across or (self.wraps and across > 1):
                right = (column + 1) % across
                step = (self.lefts[right] - self.lefts[column]) % self.size[1]
                if step < width:
                    ours, theirs = slice(step, width), slice(0, width - step)
                    every = slice(0, height)
                    yield self._share(here, row * across + right, (every, ours), (every, theirs), self.tops[row])
            if row + 1 < down:
                step = self.tops[row + 1] - self.tops[row]
                if step < height:
                    every = slice(0, width)
                    ours, theirs = slice(step, height), slice(0, height - step)
                    yield self._share(here, here + across, (ours, every), (theirs, every), self.tops[row + 1])

    def _share(
        self, first: int, second: int, ours: tuple[slice, slice], theirs: tuple[slice, slice], top: int
    ) -> CropOverlap:
        return CropOverlap(first, second, ours, theirs, top, self.areas_Vhw[first][ours])

    def _expect(self, tensor: Tensor, size: tuple[int, int]) -> None:
        if tuple(tensor.shape[-2:]) != size:
            found = " x ".join(map(str, tensor.shape[-2:]))
            raise InputError(f"This plan is for {size[0]} x {size[1]} pixels, found {found}. Plan windows anew.")


def plan_crops(lens: Lens, *, columns: int, rows: int, overlap: float) -> WindowPlan:
    """Windows side by side that share `overlap` of their width (and height) with the next, and leave nothing out.

    Eight columns and an overlap of 0.36 cut a panorama of 400 x 2048 pixels into windows of 400 x 400, a new one every
    256 columns.
    """
    height, width = lens.size
    if columns < 1 or rows < 1 or not 0 <= overlap < 1:
        raise SettingsError(f"{columns} x {rows} windows with overlap {overlap} make no sense: at least 1, below 1.")
    if columns > width or rows > height:
        raise InputError(f"{columns} x {rows} windows do not fit into {height} x {width} pixels. Ask for fewer.")
    if lens.wraps:
        broad = min(width, max(ceil(width / columns), round(width / columns / (1 - overlap))))
        lefts = tuple(number * width // columns for number in range(columns))
    else:
        broad, lefts = _line_up(width, columns, overlap)
    tall, tops = _line_up(height, rows, overlap)
    return WindowPlan(lens, (tall, broad if columns > 1 else width), tops, lefts)


def _line_up(whole: int, count: int, overlap: float) -> tuple[int, tuple[int, ...]]:
    """Length and starts of `count` windows from one end to the other."""
    length = min(whole, ceil(whole / (1 + (count - 1) * (1 - overlap))))
    spare = whole - length
    return length, tuple(round(number * spare / max(1, count - 1)) for number in range(count))


def _between(map_BDhw: Tensor, start: float, count: int, *, wraps: bool) -> Tensor:
    """`count` columns from the place `start` on, linear between cells."""
    whole, part = int(start), start - int(start)
    length = map_BDhw.shape[-1]
    cells = whole + torch.arange(count + 1, device=map_BDhw.device)
    cells = cells % length if wraps else cells.clamp(max=length - 1)
    values = map_BDhw.index_select(-1, cells)
    return values[..., :-1] if part == 0 else values[..., :-1] * (1 - part) + values[..., 1:] * part
