"""Boxes, ellipsoids and upright cylinders, and what rays meet of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sensam.data.camera import Camera, Placement
from sensam.data.raster import Field, Mask

BOX, ELLIPSOID, CYLINDER = range(3)
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Solids:
    """N solids: where they stand, what shape they have, which part of the world they are, and their colour."""

    placement: Placement
    shape_N: NDArray[np.int64]
    part_N: NDArray[np.int64]
    colour_N3: Field  # linear albedo
    ragged_N: Field  # 0 a clean outline, 1 one as frayed as leaves

    def __len__(self) -> int:
        return len(self.shape_N)


@dataclass(slots=True)
class Collection:
    """Solids being gathered one by one."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(
        self,
        shape: int,
        part: int,
        centre: tuple[float, float, float],
        half: tuple[float, float, float],
        colour: tuple[float, float, float],
        *,
        yaw: float = 0.0,
        ragged: float = 0.0,
    ) -> None:
        """One more solid."""
        self.rows.append((shape, part, *centre, *half, *colour, yaw, ragged))

    def solids(self) -> Solids:
        """All of them, as arrays."""
        table = np.asarray(self.rows, np.float32)
        placement = Placement(table[:, 2:5], table[:, 5:8], table[:, 11])
        kinds = table[:, :2].astype(np.int64)
        return Solids(placement, kinds[:, 0], kinds[:, 1], table[:, 8:11], table[:, 12])


@dataclass(frozen=True, slots=True)
class Hits:
    """The nearest solid along every ray (-1 none) and the way to it in metres (infinite for none)."""

    solid_HW: NDArray[np.int32]
    distance_HW: Field


def cast(solids: Solids, camera: Camera, rays_3HW: Field, fray: Field) -> Hits:
    """What each pixel sees. `fray` is a tile of noise that leaves are cut with."""
    solid = np.full(camera.size, NOTHING, np.int32)
    distance = np.full(camera.size, np.inf, np.float32)
    eye = np.asarray(camera.position, np.float32)[:, None, None]
    windows = camera.windows(solids.placement)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number, window in enumerate(windows):
            for part in _unwrapped(window, camera.size[1]):
                way = meet(solids, number, eye, rays_3HW[(slice(None), *part)], fray)
                nearer = way < distance[part]
                distance[part][nearer] = way[nearer]
                solid[part][nearer] = number
    return Hits(solid, distance)


def shaded(solids: Solids, casters: NDArray[np.int64], points_3M: Field, sun: Field, fray: Field) -> Mask:
    """Points from which the sun is hidden by one of the casters."""
    dark = np.zeros(points_3M.shape[1], np.bool_)
    slide = sun[:2] / max(float(sun[2]), 0.07)  # along the sun's rays down to the ground
    east, north = points_3M[:2] - slide[:, None] * points_3M[2]
    corners = solids.placement.corners()
    fallen = corners[..., :2] - slide * corners[..., 2:]
    low, high = fallen.min(axis=1), fallen.max(axis=1)
    order = np.argsort(east)  # so that a caster looks only at its own stretch of the street
    east, north = east[order], north[order]
    first, last = np.searchsorted(east, low[:, 0]), np.searchsorted(east, high[:, 0])
    towards = sun[:, None].astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        for number in casters:
            stretch = slice(first[number], last[number])
            beside = (north[stretch] > low[number, 1]) & (north[stretch] < high[number, 1])
            candidates = order[stretch][beside]
            candidates = candidates[~dark[candidates]]
            if candidates.size:
                way = meet(solids, int(number), points_3M[:, candidates], towards, fray)
                dark[candidates] = (way > 0.05) & (way < np.inf)
    return dark


def meet(solids: Solids, number: int, origin: Field, direction: Field, fray: Field) -> Field:
    """Metres along rays (3 x ...) to the outside of one solid, infinite where they miss it or start inside."""
    place = solids.placement
    o = _into(place, number, origin - place.centre_N3[number].reshape(-1, *[1] * (origin.ndim - 1)))
    d = _into(place, number, direction)
    shape = solids.shape_N[number]
    if shape == BOX:
        return _meet_box(o, d)
    if shape == CYLINDER:
        return _meet_cylinder(o, d)
    return _meet_ellipsoid(o, d, fray, solids.ragged_N[number], number)


def local_points(solids: Solids, number_M: NDArray[np.int64], points_3M: Field) -> tuple[Field, Field]:
    """Points in the frame of their own solid: in metres, and scaled so that the solid spans -1 to 1."""
    place = solids.placement
    offset = points_3M - place.centre_N3[number_M].T
    cos, sin = np.cos(place.yaw_N[number_M]), np.sin(place.yaw_N[number_M])
    metres = np.stack([cos * offset[0] + sin * offset[1], cos * offset[1] - sin * offset[0], offset[2]])
    return metres, np.asarray(metres / place.half_N3[number_M].T, np.float32)


def normals(solids: Solids, number_M: NDArray[np.int64], unit_3M: Field) -> Field:
    """Outward unit normals at points given in scaled local coordinates."""
    shape = solids.shape_N[number_M]
    half = solids.placement.half_N3[number_M].T
    local = unit_3M / half
    local[2, shape == CYLINDER] = 0
    box = shape == BOX
    axis = np.argmax(np.abs(unit_3M[:, box]), axis=0)
    face = np.zeros((3, int(box.sum())), np.float32)
    columns = np.arange(face.shape[1])
    face[axis, columns] = np.sign(unit_3M[:, box][axis, columns])
    local[:, box] = face
    local /= np.maximum(np.sqrt((local * local).sum(axis=0)), 1e-9)
    yaw = solids.placement.yaw_N[number_M]
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([cos * local[0] - sin * local[1], sin * local[0] + cos * local[1], local[2]])


def _unwrapped(window: NDArray[np.int64], columns: int) -> Iterator[tuple[slice, slice]]:
    """A window as one or two pieces inside the image; columns past an edge return at the other."""
    top, bottom, left, right = (int(bound) for bound in window)
    if bottom <= top:
        return
    for shift in (-columns, 0, columns):
        start, stop = max(left + shift, 0), min(right + shift, columns)
        if stop > start:
            yield slice(top, bottom), slice(start, stop)


def _into(place: Placement, number: int, vectors: Field) -> Field:
    """Vectors (3 x ...) into a solid's frame, scaled so that it spans -1 to 1."""
    x, y, z = vectors
    yaw = place.yaw_N[number]
    if yaw != 0:
        cos, sin = np.cos(yaw), np.sin(yaw)
        x, y = cos * x + sin * y, cos * y - sin * x
    half = place.half_N3[number]
    return np.stack([x / half[0], y / half[1], z / half[2]])


def _meet_box(o: Field, d: Field) -> Field:
    inverse = 1 / d
    one, other = (-1 - o) * inverse, (1 - o) * inverse
    enter = np.minimum(one, other).max(axis=0)
    leave = np.maximum(one, other).min(axis=0)
    return np.where((enter <= leave) & (enter > 0), enter, np.float32(np.inf))


def _meet_cylinder(o: Field, d: Field) -> Field:
    a = d[0] * d[0] + d[1] * d[1]
    b = o[0] * d[0] + o[1] * d[1]
    c = o[0] * o[0] + o[1] * o[1] - 1
    way = (-b - np.sqrt(b * b - a * c)) / a
    return np.where((way > 0) & (np.abs(o[2] + way * d[2]) <= 1), way, np.float32(np.inf))


def _meet_ellipsoid(o: Field, d: Field, fray: Field, ragged: float, number: int) -> Field:
    a = (d * d).sum(axis=0)
    b = (o * d).sum(axis=0)
    root = np.sqrt(b * b - a * ((o * o).sum(axis=0) - 1))
    way = (-b - root) / a
    seen = way > 0
    if ragged > 0:
        x, y, z = np.where(seen, o - b / a * d, 0)  # where the ray passes closest to the middle
        side = len(fray)
        u = ((x + 0.6 * y) * 34 + 17 * number).astype(np.int32) % side
        v = ((z - 0.6 * y) * 34 + 29 * number).astype(np.int32) % side
        seen &= root / np.sqrt(a) > np.float32(ragged) * (0.35 + 0.45 * fray[u, v])
    return np.where(seen, way, np.float32(np.inf))
