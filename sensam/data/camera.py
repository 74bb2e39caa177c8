"""Three ways of looking at a world: a pinhole, a fisheye, and a whole turn of the head.

The world's x points along the street, y to the left, z up; metres. A camera gives one unit ray per pixel centre, and
for solids the window of pixels that can see them.
"""

from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Field, Mask

NEAR_M = 0.05
_CORNERS = np.array(list(product((-1, 1), repeat=3)), np.float32)  # of a cube, 8 x 3
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 2]
_EDGE_START, _EDGE_END = (np.array(ends) for ends in zip(*_EDGES, strict=True))

Windows = NDArray[np.int64]  # N x 4: first row, end row, first column, end column; empty where nothing is seen


@dataclass(frozen=True, slots=True)
class Placement:
    """Upright boxes around N solids: centre, half extents, and the turn about the vertical."""

    centre_N3: Field
    half_N3: Field
    yaw_N: Field

    def corners(self) -> Field:
        """N x 8 x 3."""
        cube = _CORNERS[None] * self.half_N3[:, None]
        return self.centre_N3[:, None] + turned(cube, self.yaw_N[:, None])


class Camera(Protocol):
    """What the renderer needs to know of a camera."""

    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def position(self) -> tuple[float, float, float]: ...
    @property
    def wraps(self) -> bool: ...  # the first column is the neighbour of the last
    @property
    def pixel_angle(self) -> float: ...  # radians that a pixel in the middle spans
    def rays(self) -> Field: ...
    def forward(self) -> Field: ...
    def windows(self, placement: Placement) -> Windows: ...


@dataclass(frozen=True, slots=True)
class _Turned:
    """What a camera with an optical axis has, whatever its lens; `fov_deg` spans the columns."""

    size: tuple[int, int]
    position: tuple[float, float, float]
    fov_deg: float
    yaw: float = 0.0
    pitch: float = 0.0  # upwards
    wraps: bool = False

    def forward(self) -> Field:
        """The optical axis."""
        return self._to_world(np.array([1, 0, 0], np.float32))

    def _to_world(self, vectors: Field) -> Field:
        return np.asarray(vectors @ _rotation(self.yaw, self.pitch).T)

    def _to_camera(self, vectors: Field) -> Field:
        return np.asarray(vectors @ _rotation(self.yaw, self.pitch))


@dataclass(frozen=True, slots=True)
class Pinhole(_Turned):
    """An ordinary lens without distortion; `fov_deg` spans the columns."""

    @property
    def focal_px(self) -> float:
        return float(self.size[1] / 2 / np.tan(np.radians(self.fov_deg) / 2))

    @property
    def pixel_angle(self) -> float:
        return 1 / self.focal_px

    def rays(self) -> Field:
        """Unit directions, 3 x H x W."""
        rows, columns = self.size
        right = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) / self.focal_px
        down = (np.arange(rows, dtype=np.float32) + 0.5 - rows / 2) / self.focal_px
        ray = np.empty((rows, columns, 3), np.float32)
        ray[..., 0], ray[..., 1], ray[..., 2] = 1, -right, -down[:, None]
        ray /= np.sqrt((ray * ray).sum(axis=2, keepdims=True))
        return np.ascontiguousarray(np.moveaxis(self._to_world(ray), 2, 0))

    def project(self, rays_3HW: Field) -> tuple[Field, Field]:
        """Row and column of directions, (0, 0) the middle of the first pixel; NaN behind the camera."""
        along, left, up = np.moveaxis(self._to_camera(np.moveaxis(rays_3HW, 0, -1)), -1, 0)
        along = np.where(along > 0, along, np.nan)
        row, column = self.size[0] / 2 - self.focal_px * up / along, self.size[1] / 2 - self.focal_px * left / along
        return np.asarray(row - 0.5, np.float32), np.asarray(column - 0.5, np.float32)

    def windows(self, placement: Placement) -> Windows:
        """Windows of boxes, their edges cut at the near plane."""
        corners = self._to_camera(placement.corners() - np.asarray(self.position, np.float32))
        start, end = corners[:, _EDGE_START], corners[:, _EDGE_END]
        points = np.concatenate([_cut(start, end), _cut(end, start)], axis=1)
        seen = points[..., 0] >= NEAR_M * 0.999
        ahead = np.where(seen, points[..., 0], 1)
        column = np.asarray(self.size[1] / 2 - self.focal_px * points[..., 1] / ahead, np.float32)
        row = np.asarray(self.size[0] / 2 - self.focal_px * points[..., 2] / ahead, np.float32)
        bounds = [*_extent(row, seen), *_extent(column, seen)]
        return _whole_pixels(bounds, np.asarray(seen.any(axis=1)), self.size, columns_wrap=False)


@dataclass(frozen=True, slots=True)
class Fisheye(_Turned):
    """An equidistant lens: pixels from the middle are angle from the axis; `fov_deg` spans the columns.

    Rays go on beyond that circle, as far as straight behind the camera, so that every pixel has one.
    """

    @property
    def pixel_angle(self) -> float:
        return float(np.radians(self.fov_deg) / self.size[1])

    def away(self) -> Field:
        """Radians from the axis, H x W."""
        return np.minimum(np.hypot(*self._from_middle()) * self.pixel_angle, np.pi)

    def rays(self) -> Field:
        """Unit directions, 3 x H x W."""
        down, right = self._from_middle()
        away = self.away()
        aside = np.sin(away) / np.maximum(np.hypot(down, right), 1e-9)
        ray = np.stack([np.cos(away), -right * aside, -down * aside], -1).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(self._to_world(ray), 2, 0))

    def project(self, rays_3HW: Field) -> tuple[Field, Field]:
        """Row and column of directions, (0, 0) the middle of the first pixel; straight behind, any place on a rim."""
        along, left, up = np.moveaxis(self._to_camera(np.moveaxis(rays_3HW, 0, -1)), -1, 0)
        aside = np.hypot(left, up)
        scale = np.arctan2(aside, along) / np.maximum(aside, 1e-9) / self.pixel_angle
        row, column = self.size[0] / 2 - up * scale, self.size[1] / 2 - left * scale
        return np.asarray(row - 0.5, np.float32), np.asarray(column - 0.5, np.float32)

    def sees(self, row: Field, column: Field) -> Mask:
        """Which places lie within the circle and the image."""
        rows, columns = self.size
        down, right = row + 0.5 - rows / 2, column + 0.5 - columns / 2
        return np.asarray((np.hypot(down, right) <= columns / 2) & (np.abs(down) <= rows / 2))

    def circle(self) -> Mask:
        """Which pixels see anything, H x W."""
        return self.sees(*np.indices(self.size, np.float32))

    def windows(self, placement: Placement) -> Windows:
        """Windows of boxes, by the balls around them: each lies in a part of a ring about the image's middle."""
        offset = self._to_camera(placement.centre_N3 - np.asarray(self.position, np.float32))
        along, left, up = offset.T
        distance = np.sqrt((offset * offset).sum(axis=1))
        share = np.sqrt((placement.half_N3**2).sum(axis=1)) / np.maximum(distance, 1e-9)
        ball = np.where(share < 1, np.arcsin(np.minimum(share, 1)), np.pi)
        away, around = np.arctan2(np.hypot(left, up), along), np.arctan2(-up, -left)  # `around` from right to down
        is_sector = (ball < away) & (ball < np.pi - away)
        half = np.where(is_sector, np.arcsin(np.clip(np.sin(ball) / np.maximum(np.sin(away), 1e-9), 0, 1)), np.pi)
        axes = np.arange(4) * np.pi / 2
        within = np.abs(np.mod(axes - around[:, None] + np.pi, 2 * np.pi) - np.pi) <= half[:, None]
        ends = np.stack([around - half, around + half], 1)
        turns = np.concatenate([ends, np.where(within, axes, ends[:, :1])], 1)
        rings = np.stack([np.maximum(away - ball, 0), np.minimum(away + ball, np.pi)], 1) / self.pixel_angle
        down, right = rings[:, :, None] * np.sin(turns)[:, None], rings[:, :, None] * np.cos(turns)[:, None]
        middle_row, middle_column = self.size[0] / 2, self.size[1] / 2
        bounds = [middle_row + down.min(axis=(1, 2)), middle_row + down.max(axis=(1, 2))]
        bounds += [middle_column + right.min(axis=(1, 2)), middle_column + right.max(axis=(1, 2))]
        return _whole_pixels(bounds, np.ones(len(along), np.bool_), self.size, columns_wrap=False)

    def _from_middle(self) -> tuple[Field, Field]:
        """Pixels downwards and to the right, H x W each."""
        down, right = np.indices(self.size, np.float32)
        return down + 0.5 - self.size[0] / 2, right + 0.5 - self.size[1] / 2


@dataclass(frozen=True, slots=True)
class Equirectangular:
    """All 360 degrees over the columns; square pixels, so H x 2H holds the sphere and a flatter image a belt of it."""

    size: tuple[int, int]
    position: tuple[float, float, float]
    yaw: float = 0.0  # of the middle column
    wraps: bool = True

    @property
    def vertical_fov(self) -> float:
        """Radians from the top edge to the bottom edge, around the horizon."""
        return float(min(np.pi, 2 * np.pi * self.size[0] / self.size[1]))

    @property
    def pixel_angle(self) -> float:
        return 2 * np.pi / self.size[1]

    def forward(self) -> Field:
        """The direction of the middle of the image."""
        return np.array([np.cos(self.yaw), np.sin(self.yaw), 0], np.float32)

    def rays(self) -> Field:
        """Unit directions, 3 x H x W."""
        rows, columns = self.size
        azimuth = self.yaw + np.pi - (np.arange(columns) + 0.5) * (2 * np.pi / columns)
        elevation = (0.5 - (np.arange(rows) + 0.5) / rows) * self.vertical_fov
        flat = np.cos(elevation)[:, None]
        ray = np.empty((3, rows, columns), np.float32)
        ray[0], ray[1], ray[2] = flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)[:, None]
        return ray

    def project(self, rays_3HW: Field) -> tuple[Field, Field]:
        """Row and column of directions, (0, 0) the middle of the first pixel; rows outside the belt are outside."""
        rows, columns = self.size
        turn = np.mod(self.yaw + np.pi - np.arctan2(rays_3HW[1], rays_3HW[0]), 2 * np.pi)
        row = rows / 2 - np.arcsin(np.clip(rays_3HW[2], -1, 1)) * rows / self.vertical_fov
        return np.asarray(row - 0.5, np.float32), np.asarray(turn * columns / (2 * np.pi) - 0.5, np.float32)

    def windows(self, placement: Placement) -> Windows:
        """Windows of boxes; columns run past an edge where a box lies across the seam."""
        rows, columns = self.size
        eye = np.asarray(self.position, np.float32)
        offset = placement.corners() - eye
        middle = placement.centre_N3 - eye
        centre = np.arctan2(middle[:, 1], middle[:, 0])
        spread = np.arctan2(offset[..., 1], offset[..., 0]) - centre[:, None]
        spread = np.mod(spread + np.pi, 2 * np.pi) - np.pi
        nearest = distance_to_footprint(placement, eye)
        around = nearest <= 0
        low, high = np.where(around, -np.pi, spread.min(axis=1)), np.where(around, np.pi, spread.max(axis=1))
        farthest = np.hypot(offset[..., 0], offset[..., 1]).max(axis=1)
        bottom, top = offset[..., 2].min(axis=1), offset[..., 2].max(axis=1)
        lowest = np.arctan2(bottom, np.where(bottom > 0, farthest, nearest))
        highest = np.arctan2(top, np.where(top > 0, nearest, farthest))
        per_radian = columns / (2 * np.pi)
        turn = np.mod(self.yaw + np.pi - centre, 2 * np.pi)
        vertical = rows / self.vertical_fov
        bounds = [rows / 2 - highest * vertical, rows / 2 - lowest * vertical]
        bounds += [(turn - high) * per_radian, (turn - low) * per_radian]
        return _whole_pixels(bounds, np.ones(len(low), np.bool_), self.size, columns_wrap=True)


def _rotation(yaw: float, pitch: float) -> Field:
    """From a camera's axes (forward, left, up) to the world's."""
    cos, sin = np.cos(pitch), np.sin(pitch)
    tilt = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return (turn @ tilt).astype(np.float32)


def turned(vectors: Field, yaw: Field) -> Field:
    """Vectors (... x 3) turned about the vertical."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y, vectors[..., 2]], axis=-1)


def _cut(start: Field, end: Field) -> Field:
    """The start of each edge, moved along it to the near plane where it lies behind."""
    need = start[..., 0] < NEAR_M
    along = np.where(need, end[..., 0] - start[..., 0], 1)
    share = np.where(need, (NEAR_M - start[..., 0]) / np.where(along == 0, 1, along), 0)
    share = np.clip(share, 0, 1)[..., None]
    return np.asarray(start + share * (end - start))


def _extent(values: Field, seen: NDArray[np.bool_]) -> tuple[Field, Field]:
    lowest: Field = values.min(axis=1, where=seen, initial=np.inf)
    highest: Field = values.max(axis=1, where=seen, initial=-np.inf)
    return lowest, highest


def distance_to_footprint(placement: Placement, eye: Field) -> Field:
    """Horizontal metres from a point to each box, 0 inside."""
    local = turned(eye - placement.centre_N3, -placement.yaw_N)
    outside = np.maximum(np.abs(local[:, :2]) - placement.half_N3[:, :2], 0)
    return np.hypot(outside[:, 0], outside[:, 1])


def _whole_pixels(
    bounds: list[Field], seen: NDArray[np.bool_], size: tuple[int, int], *, columns_wrap: bool
) -> Windows:
    rows, columns = size
    first_row, last_row, first_column, last_column = bounds
    windows = np.zeros((len(seen), 4), np.int64)
    windows[:, 0] = np.floor(np.clip(first_row, 0, rows))
    windows[:, 1] = np.ceil(np.clip(last_row, 0, rows))
    if columns_wrap:
        windows[:, 2] = np.floor(first_column)
        windows[:, 3] = np.minimum(np.ceil(last_column), windows[:, 2] + columns)
    else:
        windows[:, 2] = np.floor(np.clip(first_column, 0, columns))
        windows[:, 3] = np.ceil(np.clip(last_column, 0, columns))
    windows[~seen] = 0
    return windows
