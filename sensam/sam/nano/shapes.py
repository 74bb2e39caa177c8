"""Random outlines for the scenes that teach nano: blobs, polygons, ribbons, rings, and cuts through them."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sensam.sam.nano.textures import Canvas, Image

Mask = NDArray[np.bool_]


def draw_shape(rng: Generator, canvas: Canvas, *, large: bool = False) -> Mask:
    """A filled outline somewhere in the scene; every order of size is equally frequent, as in photographs."""
    smallest, largest = (0.3, 0.8) if large else (0.05, 0.5)
    radius = np.exp(rng.uniform(np.log(smallest), np.log(largest)))
    centre_y = rng.uniform(0, canvas.y_HW[-1, 0])
    centre_x = rng.uniform(0, canvas.x_HW[0, -1])
    y, x = canvas.y_HW - np.float32(centre_y), canvas.x_HW - np.float32(centre_x)
    kind = rng.choice(5, p=(0.36, 0.3, 0.14, 0.06, 0.14))
    if kind == 0:
        return _blob(rng, y, x, radius)
    if kind == 1:
        return _polygon(rng, y, x, radius)
    if kind == 2:
        return _ribbon(rng, y, x, radius)
    if kind == 3:
        ring = np.hypot(y, x) - radius
        return np.asarray(np.abs(ring) < radius * rng.uniform(0.15, 0.4))
    lobes = canvas.noises_FHW[3] * rng.uniform(0.2, 0.5)
    return np.asarray(np.hypot(y, x) / radius + np.roll(lobes, rng.integers(lobes.shape[1]), 1) < 1)


def split_shape(rng: Generator, canvas: Canvas, shape: Mask) -> list[Mask]:
    """One to three parts of a shape: beyond a line, a smaller outline inside, or a band across."""
    parts = []
    rows, columns = np.nonzero(shape)
    for _ in range(int(rng.integers(1, 4))):
        pick = int(rng.integers(len(rows)))
        y = canvas.y_HW - canvas.y_HW[rows[pick], 0]
        x = canvas.x_HW - canvas.x_HW[0, columns[pick]]
        radius = float(np.sqrt(len(rows))) / min(shape.shape) * rng.uniform(0.12, 0.4)
        angle = rng.uniform(0, 2 * np.pi)
        along = np.cos(angle) * x + np.sin(angle) * y
        cut = (
            (lambda y=y, x=x, r=radius: _blob(rng, y, x, r)),
            (lambda along=along: along > 0),
            (lambda along=along, r=radius: np.abs(along) < 0.4 * r),
            (lambda y=y, x=x, r=radius: _polygon(rng, y, x, r)),
        )[rng.integers(4)]
        parts.append(np.asarray(shape & cut()))
    return [part for part in parts if part.any()]


def _stretched(rng: Generator, y: Image, x: Image) -> tuple[Image, Image]:
    """Rotate, and squeeze one axis."""
    angle, squeeze = rng.uniform(0, 2 * np.pi), np.float32(rng.uniform(0.35, 1.0))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, along = cosine * y - sine * x, cosine * x + sine * y
    return (across / squeeze).astype(np.float32), (along * squeeze).astype(np.float32)


def _blob(rng: Generator, y: Image, x: Image, radius: float) -> Mask:
    """A smooth closed outline: a circle with a few random harmonics."""
    y, x = _stretched(rng, y, x)
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    wildness = rng.uniform(0, 0.35)
    for harmonic in range(2, int(rng.integers(3, 8))):
        outline += np.float32(wildness / harmonic * rng.normal()) * np.cos(harmonic * angle + rng.uniform(0, 6.3))
    return np.asarray(np.hypot(y, x) < radius * outline)


def _polygon(rng: Generator, y: Image, x: Image, radius: float) -> Mask:
    """A convex polygon: inside all of three to seven lines, or a star when corners point outwards."""
    y, x = _stretched(rng, y, x)
    corners = int(rng.integers(3, 8))
    directions = (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) * 2 * np.pi / corners + rng.uniform(0, 6.3)
    if rng.uniform() < 0.12:
        sector = np.abs(((np.arctan2(y, x) - directions[0]) * corners / (2 * np.pi)) % 1 - 0.5) * 2
        return np.asarray(np.hypot(y, x) < radius * (1 - 0.6 * sector))
    inside = np.ones(y.shape, bool)
    for direction in directions:
        inside &= np.float32(np.cos(direction)) * x + np.float32(np.sin(direction)) * y < radius * 0.75
    return inside


def _ribbon(rng: Generator, y: Image, x: Image, radius: float) -> Mask:
    """A curved strip: limbs, poles, roads."""
    y, x = _stretched(rng, y, x)
    length, thickness = 2.5 * radius, radius * rng.uniform(0.12, 0.35)
    bend = np.float32(rng.normal(0, 0.6) / max(length, 1e-3))
    swing = np.float32(rng.uniform(0, 0.15) * length) * np.sin(x * np.float32(rng.uniform(2, 8)))
    return np.asarray((np.abs(y - bend * x * x - swing) < thickness) & (np.abs(x) < length))
