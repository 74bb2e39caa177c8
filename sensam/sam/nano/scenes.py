"""Generated RGB scenes with exact regions: occluding textured shapes with parts, shadows, blur and noise."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter

from sensam.sam.nano.shapes import draw_shape, split_shape
from sensam.sam.nano.textures import Canvas, Image, draw_colour, draw_texture, make_canvas

_SMALLEST_REGION = 0.004  # of the image; below it a click at nano's resolution means nothing


@dataclass(frozen=True, slots=True, eq=False)
class NanoScene:
    """An image and every region a person might mean by a click: parts, whole things, backgrounds."""

    image_HW3: NDArray[np.uint8]
    regions_NHW: NDArray[np.bool_]
    parts_HW: NDArray[np.int16]  # which smallest part each pixel belongs to


def make_scene(seed: int, index: int, size: tuple[int, int] = (128, 128)) -> NanoScene:
    """Scene `index` of the endless stream `seed`; the same arguments always give the same scene."""
    rng = default_rng((seed, index, *size))
    canvas = make_canvas(rng, size)
    picture, parts_HW, things = _backdrop(rng, canvas)
    for _ in range(int(rng.integers(1, 4) if rng.uniform() < 0.3 else rng.integers(3, 14))):
        _place_thing(rng, canvas, picture, parts_HW, things)
    picture = _light(rng, canvas, picture)
    return NanoScene(_photograph(rng, picture), _visible_regions(parts_HW, things), parts_HW)


def _backdrop(rng: Generator, canvas: Canvas) -> tuple[Image, NDArray[np.int16], list[list[int]]]:
    """One to four background areas: each is a region of its own, as sky, field and road are."""
    picture = draw_texture(rng, canvas)
    parts_HW = np.zeros(canvas.y_HW.shape, np.int16)
    things = [[0]]
    for _ in range(int(rng.integers(0, 4))):
        angle = rng.normal(np.pi / 2, 0.3) if rng.uniform() < 0.6 else rng.uniform(0, 2 * np.pi)
        line = np.cos(angle) * canvas.x_HW + np.sin(angle) * canvas.y_HW
        wave = rng.uniform(0, 0.06) * canvas.noises_FHW[3]
        beyond = line + wave > rng.uniform(line.min() + 0.1, line.max() - 0.1)
        things.append([_paint(picture, parts_HW, beyond, draw_texture(rng, canvas))])
    if rng.uniform() < 0.3:  # a background out of focus
        picture = gaussian_filter(picture, (*[rng.uniform(0.5, 2.5)] * 2, 0))
    return picture, parts_HW, things


def _paint(picture: Image, parts_HW: NDArray[np.int16], where_HW: NDArray[np.bool_], surface: Image) -> int:
    """Lay a surface over the picture as a new part."""
    number = int(parts_HW.max()) + 1
    parts_HW[where_HW] = number
    picture[where_HW] = surface[where_HW]
    return number


def _place_thing(
    rng: Generator, canvas: Canvas, picture: Image, parts_HW: NDArray[np.int16], things: list[list[int]]
) -> None:
    """Put a shape in front of everything so far; a third of them have parts in related colours."""
    shape = draw_shape(rng, canvas)
    if not shape.any():
        return
    colour = draw_colour(rng, canvas)
    if rng.uniform() < 0.15:  # camouflage: the mean colour of what it hides, told by texture and edge only
        colour = picture[shape].mean(0)
    _cast_shadow(rng, picture, shape)
    numbers = [_paint(picture, parts_HW, shape, _shaded(rng, canvas, draw_texture(rng, canvas, colour)))]
    if rng.uniform() < 0.35:
        for part in split_shape(rng, canvas, shape):
            related = None if rng.uniform() < 0.5 else np.clip(colour + rng.normal(0, 0.12, 3), 0.02, 0.98)
            surface = draw_texture(rng, canvas, None if related is None else related.astype(np.float32))
            numbers.append(_paint(picture, parts_HW, part, surface))
    things.append(numbers)


def _shaded(rng: Generator, canvas: Canvas, surface: Image) -> Image:
    """Light from one side, as on a solid thing."""
    if rng.uniform() < 0.5:
        return surface
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.8)
    along = np.cos(angle) * canvas.x_HW + np.sin(angle) * canvas.y_HW
    return surface * (1 + strength * (along - along.mean()))[..., None].astype(np.float32)


def _cast_shadow(rng: Generator, picture: Image, shape: NDArray[np.bool_]) -> None:
    """Darken what lies beside the shape: an edge that is no boundary of anything."""
    if rng.uniform() < 0.65:
        return
    reach = max(2, min(shape.shape) // 12)
    shift = (int(rng.integers(-reach, reach + 1)), int(rng.integers(-reach, reach + 1)))
    shadow = gaussian_filter(np.roll(shape, shift, (0, 1)).astype(np.float32), rng.uniform(0.5, 3.0))
    picture *= 1 - rng.uniform(0.2, 0.6) * shadow[..., None]


def _light(rng: Generator, canvas: Canvas, picture: Image) -> Image:
    """Uneven illumination, and sometimes a shadow that falls across everything."""
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * canvas.x_HW + np.sin(angle) * canvas.y_HW
    light = 1 + rng.uniform(0, 0.4) * (along - along.mean())
    if rng.uniform() < 0.25:
        shade = draw_shape(rng, canvas, large=True)
        light = light * (1 - rng.uniform(0.1, 0.5) * gaussian_filter(shade.astype(np.float32), rng.uniform(0.3, 4)))
    return picture * light[..., None].astype(np.float32)


def _photograph(rng: Generator, picture: Image) -> NDArray[np.uint8]:
    """What a camera makes of it: blur, noise, gamma, 8 bits, sometimes one grey channel or JPEG."""
    blur = rng.uniform(0.0, 1.1)
    if blur > 0.3:
        picture = gaussian_filter(picture, (blur, blur, 0))
    if rng.uniform() < 0.08:
        picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1)
    picture = np.clip(picture, 0, 1) ** rng.uniform(0.7, 1.4)
    picture = picture + rng.uniform(0, 0.05) * rng.uniform() * rng.standard_normal(picture.shape, dtype=np.float32)
    pixels = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if rng.uniform() < 0.3:
        stored = io.BytesIO()
        Picture.fromarray(pixels).save(stored, "jpeg", quality=int(rng.integers(40, 96)))
        pixels = np.asarray(Picture.open(stored))
    return pixels


def _visible_regions(parts_HW: NDArray[np.int16], things: list[list[int]]) -> NDArray[np.bool_]:
    """Masks of whole things, and of parts where a thing has several, that are large enough to click."""
    area = np.bincount(parts_HW.ravel(), minlength=int(parts_HW.max()) + 1)
    least = _SMALLEST_REGION * parts_HW.size
    groups: list[list[int]] = []
    for numbers in things:
        seen = [number for number in numbers if area[number] > 0]
        groups.append(seen)
        if len(seen) > 1:
            groups.extend([number] for number in seen)
    kept = [group for group in groups if area[group].sum() >= least]
    return np.stack([np.isin(parts_HW, group) for group in kept])
