"""Light on a street: sun and sky, dusk, or lamps and headlights in the dark; and the camera that records it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sensam.data.raster import Field

DAY, DUSK, NIGHT = "daytime", "dawn/dusk", "night"
DOMAINS = (DAY, DUSK, NIGHT)
_SODIUM, _LED, _HEADLIGHT = (1.0, 0.55, 0.18), (0.85, 0.95, 1.0), (1.0, 0.95, 0.85)


@dataclass(frozen=True, slots=True)
class Light:
    """Where light comes from; radiances are linear, a white wall in the noon sun is about 1."""

    sun_direction: Field  # towards the sun
    sun_elevation_deg: float
    sun: Field
    ambient: Field
    zenith: Field
    horizon: Field
    cloudiness: float
    haze_m: float  # distance over which contrast falls to 1 / e
    lamp: Field
    headlight: float
    lit_windows: float  # share of windows with somebody at home
    exposure: float
    blur_px: float = 0.5


def draw_light(rng: np.random.Generator, domain: str) -> Light:
    """The light of a moment of the day."""
    if domain == NIGHT:
        return _night(rng)
    low = domain == DUSK
    elevation = float(rng.uniform(1.5, 8) if low else rng.uniform(18, 65))
    azimuth = rng.uniform(0, 2 * np.pi)
    height, flat = np.sin(np.radians(elevation)), np.cos(np.radians(elevation))
    cloudiness = float(rng.random())
    sun, ambient, zenith, horizon = _dusk_colours(rng, height, cloudiness) if low else _day_colours(height, cloudiness)
    return Light(
        sun_direction=_f(flat * np.cos(azimuth), flat * np.sin(azimuth), height),
        sun_elevation_deg=elevation,
        sun=_f(*sun),
        ambient=_f(*ambient),
        zenith=_f(*zenith),
        horizon=_f(*horizon),
        cloudiness=cloudiness,
        haze_m=float(np.exp(rng.uniform(np.log(150), np.log(1200)))),
        lamp=_f(*(np.array(_SODIUM) * 0.6 * low)),
        headlight=0.25 * low,
        lit_windows=0.25 * low,
        exposure=float(rng.uniform(1.6, 2.8) if low else rng.uniform(1.0, 1.8)),
    )


Colours = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _day_colours(height: float, cloudiness: float) -> Colours:
    """Of the sun, of diffuse light, of the sky above and at the horizon."""
    clear = 1 - cloudiness**2
    sun = np.array([1.0, 0.94, 0.84]) * clear * (0.35 + 0.65 * height)
    ambient = np.array([0.22, 0.27, 0.36]) * (0.8 + 0.7 * cloudiness)
    zenith = np.array([0.14, 0.26, 0.55]) * clear + np.array([0.45, 0.47, 0.50]) * cloudiness
    horizon = np.array([0.55, 0.64, 0.75]) * clear + np.array([0.55, 0.56, 0.58]) * cloudiness
    return sun, ambient, zenith, horizon


def _dusk_colours(rng: np.random.Generator, height: float, cloudiness: float) -> Colours:
    clear = 1 - cloudiness**2
    sun = np.array([0.75, 0.36, 0.14]) * clear * (0.3 + height * 3)
    zenith = np.array([0.05, 0.08, 0.17]) * rng.uniform(0.7, 1.5)
    horizon = np.array([0.48, 0.26, 0.13]) * clear + np.array([0.12, 0.12, 0.14]) * cloudiness
    return sun, 0.55 * zenith + 0.3 * horizon, zenith, horizon


def _night(rng: np.random.Generator) -> Light:
    glow = rng.uniform(0.001, 0.006)
    lamp = np.array(_SODIUM if rng.random() < 0.6 else _LED) * rng.uniform(0.4, 1.4)
    return Light(
        sun_direction=_f(0, 0, 1),
        sun_elevation_deg=-20.0,
        sun=_f(0, 0, 0),
        ambient=_f(1.0 * glow, 0.9 * glow, 0.9 * glow),
        zenith=_f(0.3 * glow, 0.3 * glow, 0.5 * glow),
        horizon=_f(1.5 * glow, 1.0 * glow, 0.7 * glow),
        cloudiness=float(rng.random()),
        haze_m=float(rng.uniform(300, 1500)),
        lamp=_f(*lamp),
        headlight=float(rng.uniform(0.5, 1.2)),
        lit_windows=float(rng.uniform(0.05, 0.35)),
        exposure=float(rng.uniform(5, 10)),
        blur_px=0.8,
    )


def sky_radiance(light: Light, rays_3M: Field, tile: Field) -> Field:
    """What lies where nothing stands: a gradient, clouds on a plane, and the glow around the sun."""
    rise = np.clip(rays_3M[2], 0, 1)
    low = np.exp(-rise / 0.22)
    colour = light.zenith[:, None] * (1 - low) + light.horizon[:, None] * low
    side = len(tile)
    over = 60 / (rise + 0.12)
    u = (rays_3M[0] * over).astype(np.int32) % side
    v = (rays_3M[1] * over).astype(np.int32) % side
    cover = np.clip(0.5 * tile[u, v] + 2.2 * light.cloudiness - 1.1, 0, 1) * np.clip(rise / 0.15, 0, 1)
    white = light.horizon * 1.15 + 0.12 * light.sun
    colour = colour * (1 - 0.75 * cover) + white[:, None] * 0.75 * cover
    towards_sun = np.clip(light.sun_direction @ rays_3M, 0, 1)
    glow = 0.35 * towards_sun**24 + 6 * towards_sun**1500
    return np.asarray(colour + light.sun[:, None] * glow, np.float32)


def lamp_light(light: Light, lamps_N3: Field, points_3M: Field, normals_3M: Field) -> Field:
    """Irradiance from street lamps that shine downwards, falling with the square of distance."""
    total = np.zeros(points_3M.shape[1], np.float32)
    for lamp in lamps_N3:
        near = np.flatnonzero(np.abs(points_3M[0] - lamp[0]) < 22)
        to_lamp = lamp[:, None] - points_3M[:, near]
        square = np.maximum((to_lamp * to_lamp).sum(axis=0), 0.3)
        way = np.sqrt(square)
        facing = np.clip((to_lamp * normals_3M[:, near]).sum(axis=0) / way, 0, 1)
        downwards = np.clip(to_lamp[2] / way, 0, 1)
        total[near] += 9 * facing * downwards / square
    return np.asarray(light.lamp[:, None] * total, np.float32)


def headlight(light: Light, rays_3M: Field, normals_3M: Field, distance_M: Field) -> Field:
    """Irradiance from the camera's own car: a cone ahead, cut off above the horizon."""
    azimuth = np.arctan2(rays_3M[1], rays_3M[0])
    lobe = np.exp(-((azimuth / 0.35) ** 2) - ((rays_3M[2] + 0.05) / 0.16) ** 2)
    beam = lobe / (1 + np.exp((rays_3M[2] - 0.01) / 0.015))
    facing = np.clip(-(rays_3M * normals_3M).sum(axis=0), 0, 1)
    amount = light.headlight * 90 * beam * facing / np.maximum(distance_M, 9) ** 2
    return np.asarray(np.array(_HEADLIGHT, np.float32)[:, None] * amount, np.float32)


def record(rng: np.random.Generator, radiance_3HW: Field, light: Light, *, wraps: bool) -> NDArray[np.float32]:
    """Eight bits per channel: optics, exposure, white balance, shot and read noise, gamma."""
    edge = "wrap" if wraps else "nearest"
    sharp = gaussian_filter(radiance_3HW, (0, light.blur_px, light.blur_px), mode=("nearest", "nearest", edge))
    electrons = 6000 * sharp * np.minimum(light.exposure, 4)  # longer would blur what moves
    noise = np.sqrt(electrons + 144) * rng.standard_normal(electrons.shape, dtype=np.float32)
    gain = light.exposure / min(light.exposure, 4) / 6000
    balance = rng.normal(1, 0.04, (3, 1, 1)).astype(np.float32)
    exposed = np.clip((electrons + noise) * gain * balance, 0, None)
    shoulder = exposed * (1 + exposed / 9) / (1 + exposed * 0.6)  # highlights run out instead of breaking off
    return np.asarray(np.round(255 * np.clip(shoulder * 1.35, 0, 1) ** (1 / 2.2)), np.float32)


def _f(*values: float) -> Field:
    return np.array(values, np.float32)
