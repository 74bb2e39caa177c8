"""Objects of random outline on an image, each its own mask, later ones in front."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Field, Mask

SMALLEST_AREA = 12  # pixels that an object must still show to be called one


@dataclass(frozen=True, slots=True)
class Outline:
    """A star-shaped outline around a centre, as a radius for every angle."""

    row: float
    column: float
    radius: float
    corners: int  # 0 for a rounded blob
    turn: float
    wobble: tuple[float, float, float]
    flatness: float

    def inside(self, rows: Field, columns: Field) -> Field:
        """How deep pixels lie within: 1 at the centre, 0 on the outline, negative outside."""
        y, x = (rows - self.row) / self.flatness, columns - self.column
        x, y = np.cos(self.turn) * x - np.sin(self.turn) * y, np.sin(self.turn) * x + np.cos(self.turn) * y
        angle = np.arctan2(y, x)
        reach: Field | float = 1.0
        if self.corners:
            sector = 2 * np.pi / self.corners
            reach = np.cos(sector / 2) / np.cos(np.mod(angle, sector) - sector / 2)
        else:
            for order, amount in enumerate(self.wobble, start=2):
                reach = reach + amount * np.cos(order * angle + 9 * amount)
        return np.asarray(1 - np.hypot(x, y) / (self.radius * reach), np.float32)


@dataclass(frozen=True, slots=True)
class Objects:
    """Who covers each pixel, and how deep within its outline the pixel lies."""

    instances_HW: NDArray[np.int32]  # 0 is background
    depth_HW: Field  # 0 on the rim, 1 in the middle
    count: int


def draw_outlines(rng: np.random.Generator, size: tuple[int, int], count: int) -> list[Outline]:
    """Outlines of 7 to 17 % of the shorter side, anywhere on the image."""
    side = min(size)
    return [
        Outline(
            row=float(rng.uniform(0, size[0])),
            column=float(rng.uniform(0, size[1])),
            radius=max(float(rng.uniform(0.07, 0.17)) * side, 3.0),
            corners=int(rng.choice([0, 0, 3, 4, 5, 6])),
            turn=float(rng.uniform(0, np.pi)),
            wobble=tuple(rng.uniform(-1, 1, 3) * (0.16, 0.10, 0.06)),
            flatness=float(rng.uniform(0.6, 1.0)),
        )
        for _ in range(count)
    ]


def place(size: tuple[int, int], outlines: list[Outline]) -> Objects:
    """Outlines onto pixels in order; what is covered to almost nothing is dropped, the rest counted from 1."""
    instances = np.zeros(size, np.int32)
    depth = np.zeros(size, np.float32)
    for number, outline in enumerate(outlines, start=1):
        window = _window(size, outline)
        rows, columns = np.ogrid[window]
        inside = outline.inside(rows.astype(np.float32), columns.astype(np.float32))
        covered: Mask = inside > 0
        instances[window][covered] = number
        depth[window][covered] = inside[covered]
    areas = np.bincount(instances.ravel(), minlength=len(outlines) + 1)
    kept = areas >= SMALLEST_AREA
    kept[0] = False
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    instances = renumbered[instances]
    depth[instances == 0] = 0
    return Objects(instances, depth, int(kept.sum()))


def count_for(rng: np.random.Generator, size: tuple[int, int], fewest: int, most: int) -> int:
    """A number of objects that keeps their density, however long the image is."""
    stretch = max(size) / min(size)
    return round(float(rng.uniform(fewest, most)) * stretch)


def _window(size: tuple[int, int], outline: Outline) -> tuple[slice, slice]:
    reach = outline.radius * 1.4
    top, bottom = max(int(outline.row - reach), 0), min(int(outline.row + reach) + 2, size[0])
    left, right = max(int(outline.column - reach), 0), min(int(outline.column + reach) + 2, size[1])
    return slice(top, bottom), slice(left, right)
