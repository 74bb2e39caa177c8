"""Things a camera cannot see and another instrument can: RGB with heat, polarization or depth.

Imitates: warm and cool bodies camouflaged in the background's own texture (a radiometric thermal camera: ambient
temperature that varies by 40 K between scenes, sun-heated dark surfaces, optics, column noise); glass-like panes
that change only the polarization of light (four polarizer angles, Malus' law, shot noise; lying panes polarize
horizontally, standing panes vertically); reliefs painted like the wall they stand on (metric depth on slanted walls,
noise that grows with the square of distance, shadows of the projector without data). RGB shows painted shapes that
are not labelled. Left out: parallax between the instruments, refraction, thermal reflections, motion.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sensam.data.raster import Field, Raster
from sensam.data.synthetic.fields import power_noise
from sensam.data.synthetic.scene import ClassInfo, Family, Scene, Size
from sensam.data.synthetic.shapes import Objects, count_for, draw_outlines, place
from sensam.sensors import Band, Sensor

CAMERA_MOST = 255.0
POLARIZER_MOST = 4095.0
ANGLES_DEG = (0.0, 45.0, 90.0, 135.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the second instrument looks at: the objects, which of two kinds each is, and the picture in front."""

    objects: Objects
    kind_HW: NDArray[np.uint8]  # 0 background, 1 and 2 the two kinds of object
    paint: Objects  # shapes for the eye only
    light_HW: Field  # luminance of the RGB picture, 0 to 1, linear
    size: Size

    def per_object(self, rng: np.random.Generator, low: float, high: float) -> Field:
        """A random amount for each object, spread over its pixels; 0 on the background."""
        amounts = np.concatenate([[0], rng.uniform(low, high, self.objects.count)]).astype(np.float32)
        return np.asarray(amounts[self.objects.instances_HW], np.float32)


Measurement = tuple[Field, NDArray[np.bool_], dict[str, float | str]]  # planes, valid, what was drawn


def draw(
    rng: np.random.Generator,
    size: Size,
    domain: str,
    *,
    bands: tuple[str, ...],
    measure: Callable[[np.random.Generator, Setting], Measurement],
) -> Scene:
    """A painted background, hidden objects, and what the second instrument makes of them."""
    objects = place(size, draw_outlines(rng, size, count_for(rng, size, 4, 9)))
    paint = place(size, draw_outlines(rng, size, count_for(rng, size, 3, 8)))
    kinds = np.concatenate([[0], rng.integers(1, 3, objects.count)]).astype(np.uint8)
    colour_3HW = _painted(rng, size, paint)
    light = np.tensordot(np.array([0.30, 0.59, 0.11], np.float32), colour_3HW, axes=1)
    setting = Setting(objects, kinds[objects.instances_HW], paint, light, size)
    planes, valid, meta = measure(rng, setting)
    pixels = np.concatenate([_photographed(rng, colour_3HW), planes]).astype(np.float32)
    everywhere = np.ones((3, *size), np.bool_)
    raster = Raster(pixels, np.concatenate([everywhere, valid]), bands)
    meta["objects"] = objects.count
    return Scene(raster, setting.kind_HW, objects.instances_HW, domain, meta)


def measure_heat(rng: np.random.Generator, setting: Setting) -> Measurement:
    """Temperature in K: bodies a few degrees off an ambient that differs by tens of degrees between scenes."""
    ambient = float(rng.uniform(264, 306))
    uneven = power_noise(rng, setting.size, slope=2.4, outer=min(setting.size))[0]
    sun = float(rng.uniform(0, 8))
    temperature = ambient + 1.1 * uneven - sun * (setting.light_HW - 0.4)
    body = setting.per_object(rng, 3.0, 8.0) * (0.6 + 0.4 * np.sqrt(setting.objects.depth_HW))
    temperature += np.where(setting.kind_HW == 1, body, -body)
    temperature = gaussian_filter(temperature, 0.7)
    column = rng.standard_normal((1, setting.size[1])) * 0.06
    temperature += column + 0.09 * rng.standard_normal(setting.size, dtype=np.float32)
    valid = np.ones((1, *setting.size), np.bool_)
    return temperature[None].astype(np.float32), valid, {"ambient_k": round(ambient, 2), "sun_k": round(sun, 2)}


def measure_polarization(rng: np.random.Generator, setting: Setting) -> Measurement:
    """Digital numbers behind a polarizer at 0, 45, 90 and 135 degrees; panes reflect, and leave the sum as it is."""
    roll = float(rng.uniform(-12, 12))
    haze = power_noise(rng, setting.size, slope=2.4, outer=min(setting.size), count=2)
    degree = 0.03 + 0.015 * haze[0] + 0.04 * (setting.paint.instances_HW > 0)  # paint has a little gloss
    angle = 45 + roll + 60 * haze[1]
    pane = setting.kind_HW > 0
    degree = np.where(pane, setting.per_object(rng, 0.15, 0.5) + 0.02 * haze[0], degree)
    towards = np.where(setting.kind_HW == 1, 0, 90) + roll + setting.per_object(rng, -10, 10)
    angle = np.radians(np.where(pane, towards, angle))
    electrons = 12_000 * float(rng.uniform(0.25, 1.0)) * setting.light_HW
    planes = []
    for polarizer in np.radians(ANGLES_DEG):
        passed = 0.5 * electrons * (1 + np.clip(degree, 0, 1) * np.cos(2 * (angle - polarizer)))
        noise = np.sqrt(passed + 36) * rng.standard_normal(setting.size, dtype=np.float32)
        planes.append(np.clip(np.round((passed + noise) * 0.5), 0, POLARIZER_MOST))
    pixels = np.stack(planes).astype(np.float32)
    return pixels, np.ones(pixels.shape, np.bool_), {"roll_deg": round(roll, 2)}


def measure_depth(rng: np.random.Generator, setting: Setting) -> Measurement:
    """Metres to a slanted wall with things in front of it and niches behind; the projector leaves shadows."""
    distance = float(rng.uniform(1.2, 4.5))
    slant = rng.uniform(-0.45, 0.45, 2)
    row, column = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in setting.size)
    uneven = power_noise(rng, setting.size, slope=2.2, outer=min(setting.size))[0]
    wall = distance * (1 + slant[0] * row[:, None] + slant[1] * column[None, :]) + 0.008 * distance * uneven
    relief = setting.per_object(rng, 0.04, 0.12) * distance
    depth = wall + np.where(setting.kind_HW == 1, -relief, relief)
    shadow = np.zeros(setting.size, np.bool_)
    baseline = max(round(0.012 * setting.size[1]), 1)
    shadow[:, baseline:] = depth[:, baseline:] - depth[:, :-baseline] > 0.03 * distance
    depth += 0.0022 * depth**2 * rng.standard_normal(setting.size, dtype=np.float32)
    speckles = rng.random(setting.size, dtype=np.float32) < 0.004
    valid = ~(shadow | speckles)
    return np.where(valid, depth, 0)[None].astype(np.float32), valid[None], {"distance_m": round(distance, 3)}


def stokes(angles_4HW: Field) -> Field:
    """I, Q and U from intensities behind polarizers at 0, 45, 90 and 135 degrees."""
    i0, i45, i90, i135 = angles_4HW
    return np.stack([(i0 + i45 + i90 + i135) / 2, i0 - i90, i45 - i135])


def polarization(stokes_3HW: Field) -> tuple[Field, Field]:
    """Degree (0 to 1) and angle (0 to 180 degrees, from the horizontal) of linear polarization."""
    intensity, q, u = stokes_3HW
    degree = np.hypot(q, u) / np.maximum(intensity, 1e-6)
    return np.asarray(np.minimum(degree, 1), np.float32), np.mod(np.degrees(np.arctan2(u, q)) / 2, 180)


def _painted(rng: np.random.Generator, size: Size, paint: Objects) -> Field:
    """Linear colour of ground cover in three tones, with shapes painted over it that mean nothing."""
    tones = rng.uniform(0.06, 0.40, (3, 1)) * rng.dirichlet([12, 12, 12], 3).astype(np.float32) * 3
    grain = power_noise(rng, size, slope=1.4, outer=min(size) / 6, count=3)
    weight = np.exp(2.0 * grain)
    weight /= weight.sum(axis=0)
    colour = np.tensordot(tones.T, weight, axes=1)
    coat = np.concatenate([np.ones((1, 3)), np.exp(rng.normal(0, 0.45, (paint.count, 3)))])
    colour = colour * coat.T[:, paint.instances_HW]
    shade = power_noise(rng, size, slope=2.6, outer=max(size))[0]
    return np.clip(colour * np.exp(0.22 * shade + 0.10 * grain[0]), 0.005, 1).astype(np.float32)


def _photographed(rng: np.random.Generator, colour_3HW: Field) -> Field:
    """Eight bits with gamma, after optics, shot noise and read noise."""
    sharp = gaussian_filter(colour_3HW, (0, 0.5, 0.5))
    noise = rng.standard_normal(sharp.shape, dtype=np.float32) * np.sqrt(sharp / 3000 + 4e-6)
    return np.round(CAMERA_MOST * np.clip(sharp + noise, 0, 1) ** (1 / 2.2))


_RED_GREEN_BLUE = ("red", "green", "blue")


def _family(
    other: str,
    title: str,
    kinds: tuple[ClassInfo, ClassInfo],
    measure: Callable[[np.random.Generator, Setting], Measurement],
    bands: tuple[Band, ...],
    statistics: tuple[tuple[float, float], ...],
) -> Family:
    colour = tuple(Band(name=name, unit="DN", valid_range=(0, CAMERA_MOST)) for name in _RED_GREEN_BLUE)
    sensor = Sensor(
        name=f"modality-{other}",
        title=f"Generated colour camera and {other}",
        bands=(*colour, *bands),
        rgb=_RED_GREEN_BLUE,
        geometry="perspective",
    )
    return Family(
        name=f"modality:{other}",
        title=title,
        sensor=sensor.with_statistics(*zip(*(*_COLOUR_STATISTICS, *statistics), strict=True)),
        classes=(ClassInfo("background", "#d0d0d0"), *kinds),
        domains=("day",),
        draw=partial(draw, bands=sensor.band_names, measure=measure),
    )


# Mean and standard deviation of 400 scenes: scripts/scene_pictures.py --statistics
_COLOUR_STATISTICS = ((128.8, 28.6), (128.8, 28.5), (129.6, 28.9))
_THERMAL = _family(
    "thermal",
    "things seen only by their heat",
    (ClassInfo("warm body", "#e8452f"), ClassInfo("cool body", "#2f6fd0")),
    measure_heat,
    (Band(name="thermal", title="temperature", unit="K", wavelength_nm=11000, valid_range=(200, 400)),),
    ((285.6, 12.5),),
)
_POLARIZATION = _family(
    "polarization",
    "panes seen only by how they polarize light",
    (ClassInfo("lying pane", "#e69f00"), ClassInfo("standing pane", "#7f3c8d")),
    measure_polarization,
    tuple(
        Band(name=f"I{angle:.0f}", title=f"behind a polarizer at {angle:.0f} deg", unit="DN", valid_range=(0, 4095))
        for angle in ANGLES_DEG
    ),
    ((438.7, 275.8), (439.5, 268.5), (438.8, 275.3), (438.0, 267.0)),
)
_DEPTH = _family(
    "depth",
    "reliefs seen only by their distance",
    (ClassInfo("raised", "#009e73"), ClassInfo("sunken", "#cc79a7")),
    measure_depth,
    (Band(name="depth", title="distance", unit="m", valid_range=(0.1, 20)),),
    ((2.86, 0.99),),
)
FAMILY = replace(
    _THERMAL, name="modality", variants={"thermal": _THERMAL, "polarization": _POLARIZATION, "depth": _DEPTH}
)
