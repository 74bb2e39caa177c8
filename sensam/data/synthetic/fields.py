"""Random fields: noise with a power-law spectrum, and the masks cut from it."""

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, next_fast_len, rfftfreq

from sensam.data.raster import Field, Mask


def power_noise(
    rng: np.random.Generator, size: tuple[int, int], *, slope: float, outer: float, count: int = 1, stretch: float = 1.0
) -> Field:
    """`count` Gaussian fields with amplitude ~ 1 / frequency^slope below `outer` pixels, each of mean 0 and std 1.

    `stretch` > 1 draws structures out along the columns. Lengths are pixels, so a larger scene holds more of
    the same and not a magnification; a margin keeps the FFT's wrap-around out of the picture.
    """
    rows, columns = (next_fast_len(ceil(side * 1.08) + 4, real=True) for side in size)
    row_frequency = fftfreq(rows)[:, None]
    column_frequency = rfftfreq(columns)[None, :] * stretch
    power = row_frequency**2 + column_frequency**2 + outer**-2.0
    amplitude = np.exp(np.float32(-slope / 2) * np.log(power.astype(np.float32)))
    amplitude[0, 0] = 0
    noise = rng.standard_normal((2, count, *amplitude.shape), dtype=np.float32)
    spectrum = np.empty(noise.shape[1:], np.complex64)
    spectrum.real, spectrum.imag = noise[0] * amplitude, noise[1] * amplitude
    field = irfft2(spectrum, s=(rows, columns))[:, : size[0], : size[1]]
    field -= field.mean(axis=(1, 2), keepdims=True)
    field /= field.std(axis=(1, 2), keepdims=True)
    return np.asarray(field, np.float32)


def noise_tile(rng: np.random.Generator, side: int, *, slope: float, outer: float) -> Field:
    """A square of `power_noise` that continues at its opposite edge, to cover surfaces of any extent with."""
    power = fftfreq(side)[:, None] ** 2 + rfftfreq(side)[None, :] ** 2 + outer**-2.0
    white = rng.standard_normal((2, *power.shape), dtype=np.float32) * (power ** (-slope / 2)).astype(np.float32)
    tile = irfft2(white[0] + 1j * white[1], s=(side, side))
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)


def top_share(field: Field, share: float, among: Mask | None = None) -> Mask:
    """The mask of the highest `share` of all pixels, taken only from `among`."""
    wanted = round(share * field.size)
    if wanted <= 0:
        return np.zeros(field.shape, np.bool_)
    score = field if among is None else np.where(among, field, -np.inf)
    available = field.size if among is None else int(among.sum())
    if wanted >= available:
        return np.isfinite(score)
    threshold = np.partition(score, field.size - wanted, axis=None)[field.size - wanted]
    return np.asarray(score >= threshold)


def smoothstep(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    step = np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(step * step * (3 - 2 * step), np.float32)


def hashed(*integers: NDArray[np.int64], salt: int) -> Field:
    """A random number in [0, 1) that depends on nothing but the integers: the same cell is the same everywhere."""
    mixed = np.full(np.broadcast_shapes(*(part.shape for part in integers)), salt & 0xFFFFFFFF, np.uint64)
    for part in integers:
        mixed ^= part.astype(np.uint64)
        mixed *= np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: spreads neighbouring integers
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
    return np.asarray((mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**24))
