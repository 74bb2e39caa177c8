"""Random surfaces for the scenes that teach nano: flat, graded, striped, chequered, fractal."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Canvas:
    """What every surface of one scene shares: pixel coordinates, fields of noise, a palette."""

    y_HW: Image  # in units of the shorter side, so that textures keep their look at any size
    x_HW: Image
    noises_FHW: Image  # fractal noise of zero mean and unit deviation, from smooth to grainy
    palette_mean_3: Image
    palette_spread: float
    chroma: float


def make_canvas(rng: Generator, size: tuple[int, int]) -> Canvas:
    """Draw the shared parts of a scene."""
    height, width = size
    unit = min(size)
    y, x = np.mgrid[:height, :width].astype(np.float32) / unit
    noises = np.stack([fractal_noise(rng, size, slope) for slope in (0.6, 1.0, 1.4, 1.9)])
    return Canvas(
        y_HW=y,
        x_HW=x,
        noises_FHW=noises,
        palette_mean_3=np.full(3, rng.uniform(0.25, 0.7), np.float32) + rng.normal(0, 0.06, 3).astype(np.float32),
        palette_spread=rng.uniform(0.08, 0.3),
        chroma=rng.uniform(0.0, 1.0) ** 1.5,
    )


def fractal_noise(rng: Generator, size: tuple[int, int], slope: float) -> Image:
    """Noise whose amplitude falls with frequency to the power `slope`: natural images have a slope near 1."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    phase = rng.standard_normal((2, *frequency.shape), dtype=np.float32)
    spectrum = (phase[0] + 1j * phase[1]) / frequency**slope
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=size).astype(np.float32)
    return noise / max(float(noise.std()), 1e-6)


def draw_colour(rng: Generator, canvas: Canvas) -> Image:
    """A colour near the scene's palette: sometimes close to its neighbours, as in photographs."""
    brightness = rng.normal(0, canvas.palette_spread)
    tint = rng.normal(0, 0.25 * canvas.chroma, 3)
    return np.clip(canvas.palette_mean_3 + brightness + tint - tint.mean(), 0.02, 0.98).astype(np.float32)


def draw_texture(rng: Generator, canvas: Canvas, colour_3: Image | None = None) -> Image:
    """H x W x 3 surface: a colour plus a few patterns, each along a direction in colour space."""
    base = draw_colour(rng, canvas) if colour_3 is None else colour_3
    surface = np.broadcast_to(base, (*canvas.y_HW.shape, 3)).copy()
    patterns = rng.choice(len(_PATTERNS), size=rng.integers(0, 4), p=_CHANCES)
    for pattern in patterns:
        grey = rng.uniform() < 0.7  # most real texture is light and dark of one colour
        direction = np.ones(3) if grey else rng.normal(0, 1, 3)
        strength = rng.uniform(0.02, 0.16) / max(float(np.abs(direction).max()), 0.5)
        surface += _PATTERNS[pattern](rng, canvas)[..., None] * (direction * strength).astype(np.float32)
    return surface


def _rotated(rng: Generator, canvas: Canvas) -> tuple[Image, Image]:
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cosine * canvas.x_HW + sine * canvas.y_HW, cosine * canvas.y_HW - sine * canvas.x_HW


def _noise(rng: Generator, canvas: Canvas) -> Image:
    field = canvas.noises_FHW[rng.integers(len(canvas.noises_FHW))]
    field = np.roll(field, (rng.integers(field.shape[0]), rng.integers(field.shape[1])), (0, 1))
    flipped: Image = field[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    return flipped


def _grain(rng: Generator, canvas: Canvas) -> Image:
    return rng.standard_normal(canvas.y_HW.shape, dtype=np.float32)


def _slope(rng: Generator, canvas: Canvas) -> Image:
    along, _ = _rotated(rng, canvas)
    return 3.0 * (along - along.mean())


def _glow(rng: Generator, canvas: Canvas) -> Image:
    distance = np.hypot(canvas.y_HW - rng.uniform(0, 1), canvas.x_HW - rng.uniform(0, 1))
    return 3.0 * (0.5 - distance)


def _stripes(rng: Generator, canvas: Canvas) -> Image:
    along, _ = _rotated(rng, canvas)
    warp = rng.uniform(0, 0.03) * _noise(rng, canvas)
    wave = np.sin(2 * np.pi * rng.uniform(4, 30) * (along + warp))
    return np.sign(wave) if rng.uniform() < 0.4 else wave


def _checks(rng: Generator, canvas: Canvas) -> Image:
    along, across = _rotated(rng, canvas)
    frequency = rng.uniform(4, 16)
    return np.sign(np.sin(2 * np.pi * frequency * along) * np.sin(2 * np.pi * frequency * across))


def _spots(rng: Generator, canvas: Canvas) -> Image:
    return (_noise(rng, canvas) > rng.uniform(0.3, 1.2)).astype(np.float32) * 2 - 0.5


_PATTERNS = (_noise, _grain, _slope, _glow, _stripes, _checks, _spots)
_CHANCES = (0.38, 0.12, 0.16, 0.10, 0.11, 0.04, 0.09)
