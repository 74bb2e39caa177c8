"""Clicks and boxes as a person gives them, in pixels or on a map, at the pixels of a scene."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_points

from sensam.data.raster import RasterInfo, applied
from sensam.errors import InputError, SettingsError

SCENE = "scene"  # --crs: the scene's own coordinates
Point = tuple[float, float]  # x before y
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object: clicks inside, clicks outside, or a box; in pixels of the scene, (0, 0) the first one's middle."""

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    box: Box | None = None
    text: str = ""  # as the user wrote it

    @property
    def extent(self) -> Box:
        """What must be seen at least; clicks outside may lie far away."""
        corners = self.inside if self.box is None else (*self.inside, self.box[:2], self.box[2:])
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def parse_numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    """`12.5,30` as numbers."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(isfinite, numbers)):
        form = "x,y" if count == 2 else "x0,y0,x1,y1"
        raise SettingsError(f"{what} {text!r} is not understood. Write {form}, without spaces.")
    return numbers


class Places:
    """From the user's coordinates to a scene's pixels."""

    def __init__(self, info: RasterInfo, crs: str | None) -> None:
        self.info, self.crs = info, crs
        self._theirs: Any = None
        if crs is None:
            return
        if info.transform is None or (info.crs is None and crs != SCENE):
            raise InputError(f"{info.name} has no place on Earth, so --crs means nothing. Give pixels, without --crs.")
        if crs != SCENE:
            try:
                self._theirs = CRS.from_user_input(crs)
            except (CRSError, ValueError) as error:
                raise SettingsError(f"{crs!r} is no coordinate system. Write EPSG:4326, or {SCENE}.") from error

    def point(self, x: float, y: float) -> Point:
        """A click; an error where it does not lie in the scene."""
        column, row = self._moved(x, y)
        if not (0 <= column < self.info.width and 0 <= row < self.info.height):
            raise InputError(f"The point {x:g},{y:g} lies outside {self.info.name}, which covers {self._covered()}.")
        if self.crs is None:
            return column, row
        return max(0.0, column - 0.5), max(0.0, row - 0.5)

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        """A box in any order of its corners; an error where it has no area, or reaches out of the scene."""
        corners = [self._moved(x, y) for x in (x0, x1) for y in (y0, y1)]
        columns, rows = zip(*corners, strict=True)
        found = min(columns), min(rows), max(columns), max(rows)
        text = f"{x0:g},{y0:g},{x1:g},{y1:g}"
        if found[0] == found[2] or found[1] == found[3]:
            raise InputError(f"The box {text} has no area. Give two opposite corners.")
        if found[0] < 0 or found[1] < 0 or found[2] > self.info.width or found[3] > self.info.height:
            raise InputError(f"The box {text} reaches out of {self.info.name}, which covers {self._covered()}.")
        return found

    def _moved(self, x: float, y: float) -> Point:
        """Column and row: of a map as real numbers from the scene's corner, of pixels as they were given."""
        if self.crs is None:
            return x, y
        if self._theirs is not None and self._theirs != self.info.crs:
            (x,), (y,) = transform_points(self._theirs, self.info.crs, [x], [y])
        if not (isfinite(x) and isfinite(y)):
            return -1.0, -1.0
        return applied(~self.info.transform, x, y)

    def _covered(self) -> str:
        width, height = self.info.width, self.info.height
        if self.crs is None:
            return f"x 0 to {width} and y 0 to {height} in pixels; for map coordinates add --crs"
        corners = [applied(self.info.transform, column, row) for column in (0, width) for row in (0, height)]
        xs, ys = (list(axis) for axis in zip(*corners, strict=True))
        if self._theirs is not None and self._theirs != self.info.crs:
            xs, ys = transform_points(self.info.crs, self._theirs, xs, ys)
        return f"x {min(xs):.8g} to {max(xs):.8g} and y {min(ys):.8g} to {max(ys):.8g}"


def wanted_objects(
    places: Places, points: Sequence[str], outside: Sequence[str], boxes: Sequence[str], *, together: bool
) -> list[Wanted]:
    """Every point and every box an object of its own, or with `together` all points one; outside holds for each."""
    inside = [(text, places.point(*parse_numbers(text, 2, "--point"))) for text in points]
    beyond = tuple(places.point(*parse_numbers(text, 2, "--outside")) for text in outside)
    framed = [(text, places.box(*parse_numbers(text, 4, "--box"))) for text in boxes]
    if not inside and not framed:
        raise SettingsError("Nothing to segment was named. Give --point x,y or --box x0,y0,x1,y1.")
    if together and len(framed) > 1:
        raise SettingsError(f"--together joins points into one object, with at most one box; found {len(framed)}.")
    if together:
        texts = " ".join(text for text, _ in (*inside, *framed))
        return [Wanted(tuple(point for _, point in inside), beyond, framed[0][1] if framed else None, texts)]
    objects = [Wanted((point,), beyond, None, text) for text, point in inside]
    return objects + [Wanted((), beyond, box, text) for text, box in framed]
