"""Sea fog from a geostationary satellite: sixteen AHI bands by day, where only differences of bands tell fog.

Imitates: reflectance of bands 1-6 as AHI delivers it (times the sun's cosine), brightness temperature of bands 7-16
with vapour, ozone and carbon dioxide above each surface, reflected sunlight at 3.9 um, sensor noise and striping.
Fog and low stratus share optical depth and so the same white; they differ in their top's height, which shows only
as a temperature relative to the sea (which varies by 25 K between scenes), in the 13.3 um absorption above the top,
and in texture. Left out: night, cloud shadows, three-dimensional radiation, orography, snow and ice, the footprint
of a detector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Field, Mask, Raster
from sensam.data.synthetic.atmosphere import LAPSE_K_PER_KM, WAVELENGTHS_UM, Air, Layer, seen_from_space
from sensam.data.synthetic.fields import power_noise, smoothstep, top_share
from sensam.data.synthetic.scene import ClassInfo, Family, Scene, Size
from sensam.sensors import Band, Sensor

SEA, LAND, LOW_CLOUD, HIGH_CLOUD, FOG = range(5)
BAND_NAMES = tuple(f"B{number:02d}" for number in range(1, 17))
CLASSES = (
    ClassInfo("sea", "#1f4e8c"),
    ClassInfo("land", "#8a7a4a"),
    ClassInfo("low cloud", "#b9c3cc"),
    ClassInfo("high cloud", "#7fd0e8"),
    ClassInfo("fog", "#f2a900"),
)
HIGH_CLOUD_VISIBLE_DEPTH = 0.5  # thinner cirrus is there, but what lies below keeps its label

_SEA_REFLECTANCE = np.array([0.030, 0.030, 0.016, 0.008, 0.004, 0.003, 0.02], np.float32)
_TURBID_REFLECTANCE = np.array([0.050, 0.075, 0.085, 0.022, 0.001, 0, 0], np.float32)
_GREEN_REFLECTANCE = np.array([0.035, 0.055, 0.040, 0.300, 0.170, 0.080, 0.03], np.float32)
_BARE_REFLECTANCE = np.array([0.090, 0.120, 0.170, 0.230, 0.290, 0.240, 0.09], np.float32)
_NOISE = np.array([3e-3] * 4 + [4e-3] * 2 + [0.14, 0.20, 0.12, 0.12, 0.10, 0.12, 0.08, 0.08, 0.10, 0.20], np.float32)


@dataclass(frozen=True, slots=True)
class Weather:
    """What is the same everywhere in a scene."""

    sun_zenith_deg: float
    view_zenith_deg: float
    sea_k: float
    aerosol: float
    humidity: float  # relative to what is usual over a sea of this temperature
    land_share: float
    low_share: float
    high_share: float
    fog_share: float  # of all pixels
    stratus: float  # 0 cellular low cloud, 1 as smooth as fog
    glint: float


def draw_weather(rng: np.random.Generator) -> Weather:
    """One day: half of the days have fog, a third have no land in the picture."""
    return Weather(
        sun_zenith_deg=float(rng.uniform(15, 72)),
        view_zenith_deg=float(rng.uniform(30, 52)),
        sea_k=float(rng.uniform(273, 302)),
        aerosol=float(rng.gamma(2.0, 0.012)),
        humidity=float(np.exp(rng.normal(0, 0.35))),
        land_share=float(rng.uniform(0.1, 0.45) if rng.random() < 0.65 else 0),
        low_share=float(rng.uniform(0.05, 0.45) if rng.random() < 0.9 else 0),
        high_share=float(rng.uniform(0.05, 0.45) if rng.random() < 0.70 else 0),
        fog_share=float(rng.uniform(0.02, 0.145) if rng.random() < 0.50 else 0),
        stratus=float(rng.random()),
        glint=float(rng.uniform(0.05, 0.30) if rng.random() < 0.3 else 0),
    )


def draw(rng: np.random.Generator, size: Size, domain: str) -> Scene:
    """A day over sea and coast."""
    weather = draw_weather(rng)
    coast, deck, texture, warmth, greenness, fog_shape, cirrus = _fields(rng, size)
    land = top_share(coast, weather.land_share)
    shallows = np.maximum(coast, 0)  # warmed by the sun to the ground
    sea_k = np.float32(weather.sea_k) + 0.9 * warmth[0] + 0.4 * shallows
    land_k = np.float32(weather.sea_k + rng.uniform(-6, 10)) + 2.2 * warmth[1] - 2.0 * greenness
    surface_k = np.where(land, land_k, sea_k).astype(np.float32)
    high = _high_layer(rng, weather, cirrus, texture[1])
    hidden = high.depth_HW > HIGH_CLOUD_VISIBLE_DEPTH
    offshore = np.minimum(coast, 0).astype(np.float32)
    fog = top_share(fog_shape + 0.35 * offshore, weather.fog_share, ~land & ~hidden)
    low_cloud = top_share(deck, weather.low_share) & ~fog
    low = _low_layer(rng, weather, low_cloud, fog, (deck, fog_shape), texture, sea_k)
    air = Air(
        sun_cosine=float(np.cos(np.radians(weather.sun_zenith_deg))),
        view_cosine=float(np.cos(np.radians(weather.view_zenith_deg))),
        aerosol=weather.aerosol,
        vapour_HW=(_vapour(weather.sea_k) * weather.humidity * np.exp(0.25 * warmth[2])).astype(np.float32),
        surface_air_k=weather.sea_k + float(rng.uniform(-1, 2)),
    )
    reflectance = _surface_reflectance(weather, land, coast, greenness, warmth[3])
    bands = seen_from_space(reflectance, surface_k, low, high, air)
    bands += _sensor_noise(rng, size)
    label = np.select([hidden, fog, low_cloud, land], [HIGH_CLOUD, FOG, LOW_CLOUD, LAND], SEA).astype(np.uint8)
    raster = Raster(bands.astype(np.float32), np.ones(bands.shape, np.bool_), BAND_NAMES)
    meta: dict[str, float | str] = {name: round(getattr(weather, name), 4) for name in Weather.__slots__}
    return Scene(raster, label, None, domain, meta)


def fog_only(scene: Scene) -> NDArray[np.uint8]:
    """The binary label: 1 fog, 0 anything else."""
    return (scene.label_HW == FOG).astype(np.uint8)


def _fields(rng: np.random.Generator, size: Size) -> tuple[Field, Field, Field, Field, Field, Field, Field]:
    coast = power_noise(rng, size, slope=2.7, outer=150)[0]
    deck = power_noise(rng, size, slope=1.9, outer=60)[0]
    texture = power_noise(rng, size, slope=1.35, outer=14, count=3)
    broad = power_noise(rng, size, slope=2.8, outer=120, count=6)
    cirrus = power_noise(rng, size, slope=1.9, outer=80, stretch=float(rng.uniform(0.35, 2.5)))[0]
    return coast, deck, texture, broad[:4], broad[4], broad[5] + 0.06 * texture[2], cirrus


def _vapour(sea_k: float) -> float:
    """Column of vapour over a sea of this temperature, 1 at 287 K: Clausius-Clapeyron."""
    return float(np.exp(0.06 * (sea_k - 287)))


def _high_layer(rng: np.random.Generator, weather: Weather, cirrus: Field, grain: Field) -> Layer:
    """Ice cloud from barely visible veils to anvils; its edge runs out instead of ending."""
    threshold = np.quantile(cirrus, 1 - weather.high_share) if weather.high_share else np.float32(9)
    above = np.clip(cirrus - threshold + 0.35, 0, None)
    depth = above**1.6 * np.exp(rng.normal(0.0, 0.8) + 0.25 * grain)
    height = np.clip(rng.uniform(5.5, 10.5) + 0.4 * cirrus, 4.8, 12.0)
    temperature = weather.sea_k - LAPSE_K_PER_KM * height
    return Layer(depth.astype(np.float32), float(rng.uniform(18, 40)), _warm(temperature), _single(height), ice=True)


def _low_layer(
    rng: np.random.Generator,
    weather: Weather,
    low_cloud: Mask,
    fog: Mask,
    shapes: tuple[Field, Field],
    texture: Field,
    sea_k: Field,
) -> Layer:
    """Fog and low cloud in one layer: the same droplets and optical depths, another height and texture."""
    roughness = 0.12 + 0.55 * (1 - weather.stratus)
    low_depth = np.exp(rng.normal(2.2, 0.4) + roughness * texture[0] + 0.25 * shapes[0])
    fog_depth = np.exp(rng.normal(2.1, 0.4) + 0.10 * texture[0] + 0.20 * shapes[1])
    low_depth *= _edge(shapes[0], low_cloud)
    fog_depth *= _edge(shapes[1], fog)
    low_height = np.clip(rng.uniform(0.8, 3.0) + 0.18 * shapes[0] + 0.10 * texture[0], 0.6, 3.6)
    fog_height = np.clip(rng.uniform(0.1, 0.3) + 0.03 * shapes[1], 0.05, 0.4)
    low_k = weather.sea_k + rng.uniform(-1, 1) - LAPSE_K_PER_KM * low_height
    fog_k = sea_k + rng.uniform(-1.6, 1.2)  # advected over colder water: the top lies in the inversion
    depth = np.where(fog, fog_depth, np.where(low_cloud, low_depth, 0))
    height = np.where(fog, fog_height, low_height)
    temperature = np.where(fog, fog_k, low_k)
    return Layer(_single(np.minimum(depth, 60)), float(rng.uniform(6, 12)), _warm(temperature), _single(height))


def _edge(shape: Field, mask: Mask) -> Field:
    """Thinner towards the rim of a patch, never so thin that its label is a matter of taste."""
    if not mask.any():
        return shape
    rim = float(shape[mask].min())
    return 0.3 + 0.7 * smoothstep(shape, rim, rim + 0.45)


def _surface_reflectance(weather: Weather, land: Mask, coast: Field, greenness: Field, silt: Field) -> Field:
    green = smoothstep(greenness, -1.2, 1.2)
    turbid = smoothstep(coast + 0.5 * silt, 0.0, 2.0)
    shine = np.float32(weather.glint) * np.exp(0.25 * silt - 0.5 * (greenness - 0.5) ** 2)
    over_sea = _SEA_REFLECTANCE[:, None, None] + _TURBID_REFLECTANCE[:, None, None] * turbid + shine
    over_land = _BARE_REFLECTANCE[:, None, None] * (1 - green) + _GREEN_REFLECTANCE[:, None, None] * green
    over_land *= np.exp(0.12 * silt)
    return np.asarray(np.where(land, over_land, over_sea), np.float32)


def _sensor_noise(rng: np.random.Generator, size: Size) -> Field:
    """White noise per pixel and a weaker offset per scan line, as detectors are not equally calibrated."""
    pixel = rng.standard_normal((16, *size), dtype=np.float32)
    line = rng.standard_normal((16, size[0], 1), dtype=np.float32)
    return np.asarray((pixel + 0.4 * line) * _NOISE[:, None, None], np.float32)


def _single(field: NDArray[np.floating]) -> Field:
    return np.asarray(field, np.float32)


def _warm(temperature: NDArray[np.floating]) -> Field:
    return np.maximum(temperature, 205).astype(np.float32)


def _sensor() -> Sensor:
    bands = []
    for number, (title, wavelength_um) in enumerate(zip(_TITLES, WAVELENGTHS_UM, strict=True), start=1):
        unit, valid_range = ("1", (-0.05, 1.5)) if number <= 6 else ("K", (150.0, 350.0))
        name, wavelength_nm = f"B{number:02d}", round(wavelength_um * 1000)
        bands.append(Band(name=name, title=title, wavelength_nm=wavelength_nm, unit=unit, valid_range=valid_range))
    sensor = Sensor(
        name="seafog", title="Generated Himawari-like imager", bands=tuple(bands), rgb=("B05", "B04", "B03")
    )
    return sensor.with_statistics(_MEAN, _STD)


_TITLES = (
    *("blue", "green", "red", "near infrared", "cloud phase", "droplet size", "fog and fire"),
    *("upper vapour", "middle vapour", "lower vapour", "cloud phase, thermal", "ozone"),
    *("clean window", "window", "dirty window", "carbon dioxide"),
)
# Of 400 scenes: scripts/scene_pictures.py --statistics
_MEAN = (
    *(0.215, 0.207, 0.183, 0.171, 0.112, 0.082, 288.6, 232.7),
    *(242.9, 251.2, 277.9, 254.8, 279.7, 278.5, 276.4, 256.7),
)
_STD = (
    *(0.154, 0.156, 0.162, 0.156, 0.107, 0.079, 10.9, 6.3),
    *(6.9, 7.8, 13.3, 9.9, 14.0, 14.1, 13.9, 11.1),
)

FAMILY = Family(
    name="seafog",
    title="sea fog from a geostationary satellite, 16 bands by day",
    sensor=_sensor(),
    classes=CLASSES,
    domains=("day",),
    draw=draw,
)
