"""Tangent planes over a panorama or a fisheye: perspective views without distortion, and their merging."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import radians, tan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.lens import RoundLens
from sensam.data.perspective import Look, Mode, sample
from sensam.data.plan import FLOOR
from sensam.data.raster import Field
from sensam.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class TangentOverlap:
    """M pixels of the image that two neighbouring views both cover, and the places in each view where they lie."""

    first: int
    second: int
    area: Tensor
    in_first_2M: Tensor
    in_second_2M: Tensor

    def sides(self, views_BVChw: Tensor) -> tuple[Tensor, Tensor]:
        """What each of the two shows at these places, B x C x M."""
        ours = _at(views_BVChw[:, self.first], self.in_first_2M)
        return ours, _at(views_BVChw[:, self.second], self.in_second_2M)


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """The pixels of the image that a view covers, where they lie in the view, and how much the view counts there."""

    index_M: Tensor  # of flattened pixels, rising
    place_2M: Tensor  # rows and columns of the view
    weight_M: Tensor


@dataclass(frozen=True, eq=False)
class TangentPlan:
    """Views of one camera turned to many sides, row by row; every pixel is sampled there and back, bilinearly."""

    lens: RoundLens
    looks: tuple[Look, ...]
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.looks[0].size

    @property
    def key(self) -> tuple[object, ...]:
        turns = [(look.yaw, look.pitch) for look in self.looks]
        return "gnomonic", self.looks[0].fov_deg, self.shape, turns, *self.lens.key

    def __len__(self) -> int:
        return len(self.looks)

    def cut(self, image_BCHW: Tensor) -> Tensor:
        """The views of images or probabilities, B x V x C x h x w; beyond what the image shows, its last pixels."""
        self._expect(image_BCHW, self.lens.size)
        return self._sampled(image_BCHW, self._places_V2hw, "bilinear")

    def cut_valid(self, valid_BHW: Tensor) -> Tensor:
        """Which pixels of the views show valid ones of the image, B x V x h x w."""
        self._expect(valid_BHW, self.lens.size)
        nearest_BVhw = self._sampled(valid_BHW[:, None], self._places_V2hw, "nearest")[:, :, 0]
        return nearest_BVhw & (self.areas_Vhw > 0).to(valid_BHW.device)

    def cut_level(self, level_BDhw: Tensor, stride: int) -> Tensor:
        """Features in the cells of each view, B x V x D x rows x columns."""
        return self._sampled(level_BDhw, self._places_V2hw[..., ::stride, ::stride] / stride, "bilinear")

    def merge(self, views_BVChw: Tensor) -> Tensor:
        """The mean of all views at every pixel, B x C x H x W, each counting most in its middle.

        Pixels beyond all views, such as those around a fisheye's circle, repeat the rim of the nearest one.
        """
        self._expect(views_BVChw, self.shape)
        batch, _, planes = views_BVChw.shape[:3]
        height, width = self.lens.size
        total_BCN = views_BVChw.new_zeros((batch, planes, height * width))
        for number, cover in enumerate(self._covers):
            share_M = cover.weight_M / self._total_N[cover.index_M]
            seen_BCM = _at(views_BVChw[:, number], cover.place_2M) * share_M.to(views_BVChw)
            total_BCN.index_add_(-1, cover.index_M.to(total_BCN.device), seen_BCM)
        return total_BCN.unflatten(-1, (height, width))

    @cached_property
    def areas_Vhw(self) -> Tensor:
        """What each pixel of a view counts: its part of the sphere, 1 in the middle, 0 beyond what the image shows."""
        height, width = self.shape
        focal = self.looks[0].camera.focal_px
        down_h, right_w = (torch.arange(side, dtype=torch.float64) + 0.5 - side / 2 for side in (height, width))
        area_hw = (1 + (down_h[:, None] ** 2 + right_w**2) / focal**2) ** -1.5
        seen = [self.lens.sees(*place.numpy()) for place in self._places_V2hw]
        return area_hw * torch.from_numpy(np.stack(seen))

    def overlaps(self) -> Iterator[TangentOverlap]:
        """Every pair of neighbours that share pixels: to the right (around the seam as well) and below."""
        yield from self._overlaps

    @cached_property
    def _overlaps(self) -> tuple[TangentOverlap, ...]:
        across = self.columns
        pairs = []
        for here, (row, column) in enumerate(product(range(len(self) // across), range(across))):
            if column + 1 < across or (self.lens.wraps and across > 1):
                pairs.append((here, row * across + (column + 1) % across))
            if here + across < len(self):
                pairs.append((here, here + across))
        return tuple(shared for pair in pairs if (shared := self._share(*pair)) is not None)

    def _share(self, first: int, second: int) -> TangentOverlap | None:
        ours, theirs = self._covers[first], self._covers[second]
        area_N = self.lens.area_HW.flatten()
        common = ours.index_M[torch.isin(ours.index_M, theirs.index_M)]
        common = common[area_N[common] > 0]
        if not len(common):
            return None
        in_ours, in_theirs = (torch.searchsorted(cover.index_M, common) for cover in (ours, theirs))
        return TangentOverlap(first, second, area_N[common], ours.place_2M[:, in_ours], theirs.place_2M[:, in_theirs])

    def _sampled(self, image_BCHW: Tensor, places_V2hw: Tensor, mode: Mode) -> Tensor:
        views = [sample(image_BCHW, row, column, mode, wraps=self.lens.wraps) for row, column in places_V2hw]
        return torch.stack(views, 1)

    @cached_property
    def _places_V2hw(self) -> Tensor:
        """Rows and columns of the image at which the pixels of each view look."""
        places = [np.stack(self.lens.camera.project(look.camera.rays())) for look in self.looks]
        return torch.from_numpy(np.stack(places))

    @cached_property
    def _covers(self) -> tuple[Cover, ...]:
        rays_3N = self.lens.camera.rays().reshape(3, -1)
        seen = [_covered(look, rays_3N) for look in self.looks]
        is_beyond_N = np.ones(rays_3N.shape[1], np.bool_)
        for index_M, _ in seen:
            is_beyond_N[index_M] = False
        beyond_P = np.flatnonzero(is_beyond_N)
        towards_VP = np.stack([look.camera.forward() for look in self.looks]) @ rays_3N[:, beyond_P]
        found = []
        for number, (index_M, place_2M) in enumerate(seen):
            own_P = beyond_P[towards_VP.argmax(0) == number]
            extra_2P = np.nan_to_num(np.stack(self.looks[number].camera.project(rays_3N[:, own_P])))
            index_M, place_2M = np.concatenate([index_M, own_P]), np.concatenate([place_2M, extra_2P], 1)
            order_M = np.argsort(index_M)
            place = torch.from_numpy(place_2M[:, order_M])
            found.append(Cover(torch.from_numpy(index_M[order_M]), place, self._weights(place)))
        return tuple(found)

    def _weights(self, place_2M: Tensor) -> Tensor:
        """How much places in a view count: most in the middle, least at the frame and beyond."""
        weight_M = torch.ones(place_2M.shape[1])
        for side, place_M in zip(self.shape, place_2M, strict=True):
            weight_M = weight_M * ((torch.pi * (place_M + 0.5) / side).clamp(0, torch.pi).sin() + FLOOR)
        return weight_M

    @cached_property
    def _total_N(self) -> Tensor:
        total_N = torch.zeros(self.lens.size[0] * self.lens.size[1])
        for cover in self._covers:
            total_N.index_add_(0, cover.index_M, cover.weight_M)
        return total_N

    def _expect(self, tensor: Tensor, size: tuple[int, int]) -> None:
        if tuple(tensor.shape[-2:]) != size:
            found = " x ".join(map(str, tensor.shape[-2:]))
            raise InputError(f"These views are for {size[0]} x {size[1]} pixels, found {found}. Plan views anew.")


def look_around(lens: RoundLens, columns: int, rows: int, fov_deg: float) -> tuple[Look, ...]:
    """Square views in the middles of equal parts of what a lens sees, row by row from above, left to right.

    As many pixels as the image has in its middle: there nothing is lost or made up.
    """
    side = round(2 * tan(radians(fov_deg) / 2) / lens.camera.pixel_angle)
    tall, wide = lens.reach
    turns = [(0.5 - (column + 0.5) / columns) * wide for column in range(columns)]
    tilts = [(0.5 - (row + 0.5) / rows) * tall for row in range(rows)]
    return tuple(Look(turn, tilt, fov_deg, (side, side)) for tilt, turn in product(tilts, turns))


def _at(view_BChw: Tensor, place_2M: Tensor) -> Tensor:
    """Values at places of a view, B x C x M."""
    row_1M, column_1M = place_2M[:, None]
    return sample(view_BChw, row_1M, column_1M, "bilinear", wraps=False)[:, :, 0]


def _covered(look: Look, rays_3N: Field) -> tuple[NDArray[np.int64], Field]:
    """Which of the rays a view covers, and where they lie in it."""
    place_2N = np.stack(look.camera.project(rays_3N))
    index_M = np.flatnonzero(look.covers(*place_2N))
    return index_M, place_2N[:, index_M]
