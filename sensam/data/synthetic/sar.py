"""Land cover under radar: one speckled amplitude (or VV and VH), five classes that overlap in brightness.

Imitates: calibrated amplitude (the root of sigma nought) at 3 m, gamma speckle of L looks, texture of vegetation
(a K distribution), incidence growing across the swath, wind on water, buildings with a bright front of layover and
a shadow as dark as still water, street canyons, corner reflectors, the sensor's noise floor, a strip without data
where the swath ends. The antenna looks to the right: near range is the left edge. Left out: correlation of
neighbouring speckle, side lobes, ambiguities, terrain, roofs displaced by their height.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from sensam.data.raster import Field, Mask, Raster
from sensam.data.synthetic.fields import hashed, power_noise, top_share
from sensam.data.synthetic.scene import IGNORE, ClassInfo, Family, Scene, Size
from sensam.sensors import Band, Sensor

BACKGROUND, BUILDING, VEGETATION, WATER, ROAD = range(5)
CLASSES = (
    ClassInfo("background", "#8d8378"),
    ClassInfo("building", "#e8452f"),
    ClassInfo("vegetation", "#4fae4b"),
    ClassInfo("water", "#2f6fd0"),
    ClassInfo("road", "#f4d13d"),
)
PIXEL_M = 3.0
WAVELENGTH_NM = 55.5e6  # C band
LONGEST_LAYOVER, LONGEST_SHADOW = 8, 12  # pixels
NOISE_FLOOR = 10**-2.5  # sigma nought of nothing at all, -25 dB
BRIGHTEST = 8.0  # amplitude where the receiver saturates, +18 dB

# Mean sigma nought in dB as VV, and how much weaker VH is. A scene moves each by up to 1.2 dB.
_VV_DB = np.array([-13.5, -3.0, -9.0, -21.0, -17.5], np.float32)
_VH_BELOW_DB = np.array([9.0, 6.5, 5.5, 10.0, 10.0], np.float32)


@dataclass(frozen=True, slots=True)
class Landscape:
    """How much of what a domain holds, as ranges to draw from."""

    water: tuple[float, float]
    town: tuple[float, float]  # share of the ground that is built up, streets and yards included
    farmed: float  # share of parcels under vegetation
    road_spacing_px: tuple[float, float]


LANDSCAPES = {
    "urban": Landscape(water=(0.00, 0.15), town=(0.45, 0.85), farmed=0.45, road_spacing_px=(36, 60)),
    "rural": Landscape(water=(0.00, 0.15), town=(0.05, 0.25), farmed=0.60, road_spacing_px=(60, 110)),
    "wetland": Landscape(water=(0.20, 0.45), town=(0.00, 0.15), farmed=0.65, road_spacing_px=(80, 130)),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies where: the class of the ground, buildings and their reach towards and away from the antenna."""

    label_HW: NDArray[np.int64]
    height_HW: Field  # of the building standing here, in pixels; 0 where none
    brightness_HW: Field  # dB around the class's mean, per parcel and per building
    layover_HW: Mask
    shadow_HW: Mask


def draw(rng: np.random.Generator, size: Size, domain: str, *, bands: tuple[str, ...] = ("amplitude",)) -> Scene:
    """A scene of a landscape, in the named bands."""
    looks = int(rng.choice([1, 2, 4], p=[0.25, 0.4, 0.35]))
    incidence = float(rng.uniform(28, 45))
    wind_db = float(rng.uniform(-3, 7))
    ground = _lay_out(rng, size, LANDSCAPES[domain], incidence)
    sigma_HW = _backscatter(rng, ground, incidence, wind_db)
    texture = power_noise(rng, size, slope=1.0, outer=6)[0]
    planes = []
    for band in bands:
        below = _VH_BELOW_DB[ground.label_HW] if band == "VH" else np.float32(0)
        mean = 10 ** ((sigma_HW - below) / 10) * np.exp(0.35 * texture * (ground.label_HW == VEGETATION))
        intensity = speckled(rng, mean + NOISE_FLOOR, looks)
        planes.append(np.minimum(np.sqrt(intensity), BRIGHTEST))
    seen = _swath(rng, size)
    pixels = np.stack(planes).astype(np.float32)
    valid = np.broadcast_to(seen, pixels.shape).copy()
    pixels[~valid] = 0
    label = np.where(seen, ground.label_HW, IGNORE).astype(np.uint8)
    crs, transform = _place(rng, size)
    meta: dict[str, float | str] = {
        "looks": looks,
        "incidence_deg": round(incidence, 2),
        "water_wind_db": round(wind_db, 2),
        "landscape": domain,
    }
    return Scene(Raster(pixels, valid, bands, crs, transform), label, None, domain, meta)


def speckled(rng: np.random.Generator, mean_intensity: Field, looks: int) -> Field:
    """Fully developed speckle: gamma with mean 1 and variance 1 / looks, independent per pixel."""
    gamma = rng.standard_gamma(looks, mean_intensity.shape, dtype=np.float32) / np.float32(looks)
    return np.asarray(mean_intensity * gamma, np.float32)


def _lay_out(rng: np.random.Generator, size: Size, landscape: Landscape, incidence: float) -> Ground:
    relief, zone = power_noise(rng, size, slope=2.4, outer=110, count=2)
    bend, valley = power_noise(rng, size, slope=3.4, outer=160, count=2)
    along, across = _street_axes(rng, size, bend)
    spacing = float(rng.uniform(*landscape.road_spacing_px))
    wet = float(rng.uniform(*landscape.water))
    if wet > 0.06 and rng.random() < 0.6:
        relief = np.maximum(relief, 3 - 20 * np.abs(valley))  # a river follows the bottom of a valley
    water = top_share(relief, wet)
    town = top_share(zone, float(rng.uniform(*landscape.town)), ~water)
    road = _roads(rng, along, across, spacing, town)
    parcel, shade = _parcels(rng, along, across, spacing, landscape.farmed)
    height, roof = _buildings(rng, along, across, spacing, town & ~water & ~road)
    standing = height > 0
    label = np.where(parcel & ~town, VEGETATION, BACKGROUND)
    gardens = top_share(power_noise(rng, size, slope=1.6, outer=24)[0], 0.3) & town
    label[gardens] = VEGETATION
    label[water] = WATER
    label[road & ~water] = ROAD
    layover = reach(height, 1 / np.tan(np.radians(incidence)), LONGEST_LAYOVER, towards=-1)
    shadow = reach(height, np.tan(np.radians(incidence)), LONGEST_SHADOW, towards=+1) & ~standing & ~layover
    label[standing | layover] = BUILDING
    brightness = np.where(standing, roof, shade)
    return Ground(label, height, brightness.astype(np.float32), layover & ~standing, shadow)


def _street_axes(rng: np.random.Generator, size: Size, bend: Field) -> tuple[Field, Field]:
    """Two axes turned into the direction of the streets, in pixels, gently bent."""
    turn = rng.uniform(0, np.pi)
    row, column = np.mgrid[: size[0], : size[1]].astype(np.float32)
    start = rng.uniform(0, 1000, 2)
    along = np.cos(turn) * column + np.sin(turn) * row + 2.5 * bend + start[0]
    across = -np.sin(turn) * column + np.cos(turn) * row + 2.5 * np.roll(bend, 17, axis=0) + start[1]
    return along.astype(np.float32), across.astype(np.float32)


def _roads(rng: np.random.Generator, along: Field, across: Field, spacing: float, town: Mask) -> Mask:
    """A grid with gaps; between towns only every second road goes on, and they are narrower than streets."""
    salt = int(rng.integers(2**31))
    roads = np.zeros(along.shape, np.bool_)
    for axis, other, tag in ((along, across, 1), (across, along, 2)):
        line = np.round(axis / spacing).astype(np.int64)
        block = np.floor(other / (3 * spacing)).astype(np.int64)
        width = 1.2 + 1.6 * hashed(line, np.array(tag), salt=salt)
        near = np.abs(axis - line * np.float32(spacing)) < width
        kept = hashed(line, block, np.array(tag), salt=salt + 1) < np.where(town, 0.9, 0.5)
        roads |= near & kept
    return roads


def _parcels(
    rng: np.random.Generator, along: Field, across: Field, spacing: float, farmed: float
) -> tuple[Mask, Field]:
    """Fields as strips of the street grid: which are green, and how bright each is in dB."""
    salt = int(rng.integers(2**31))
    strip = np.floor(across / (spacing / 2)).astype(np.int64)
    length = spacing * (0.5 + hashed(strip, salt=salt))
    field = np.floor(along / length).astype(np.int64)
    green = hashed(strip, field, salt=salt + 1) < farmed
    shade = 3.0 * (hashed(strip, field, salt=salt + 2) - 0.5)
    return green, np.asarray(shade, np.float32)


def _buildings(
    rng: np.random.Generator, along: Field, across: Field, spacing: float, where: Mask
) -> tuple[Field, Field]:
    """Rectangles in the cells of the street grid: height in pixels (0 for none) and roof brightness in dB."""
    salt = int(rng.integers(2**31))
    cell = spacing / max(round(spacing / 15), 2)
    i, j = np.floor(along / cell), np.floor(across / cell)
    u, v = along / cell - i, across / cell - j
    i, j = i.astype(np.int64), j.astype(np.int64)
    half_u, half_v = (0.20 + 0.22 * hashed(i, j, salt=salt + n) for n in (1, 2))
    built = (hashed(i, j, salt=salt + 3) < 0.72) & (np.abs(u - 0.5) < half_u) & (np.abs(v - 0.5) < half_v) & where
    height = 1.0 + 5.0 * hashed(i, j, salt=salt + 4) ** 2  # 3 to 18 m
    roof = 7.0 * (hashed(i, j, salt=salt + 5) - 0.7)
    return np.where(built, height, 0).astype(np.float32), np.asarray(roof, np.float32)


def reach(height: Field, slope: float, longest: int, *, towards: int) -> Mask:
    """Pixels that a building covers with `height * slope` columns to its left (-1) or right (+1)."""
    covered = np.zeros(height.shape, np.bool_)
    for step in range(1, min(longest, height.shape[1] - 1) + 1):
        tall = height * np.float32(slope) >= step
        if towards < 0:
            covered[:, :-step] |= tall[:, step:]
        else:
            covered[:, step:] |= tall[:, :-step]
    return covered


def _backscatter(rng: np.random.Generator, ground: Ground, incidence: float, wind_db: float) -> Field:
    """Sigma nought in dB before speckle, as VV."""
    size = ground.label_HW.shape
    offset = rng.uniform(-1.2, 1.2, 5).astype(np.float32)
    offset[WATER] += np.float32(wind_db)
    sigma = (_VV_DB + offset)[ground.label_HW]
    soft = power_noise(rng, size, slope=1.8, outer=30)[0]
    sigma += np.where(ground.label_HW == WATER, 0.8 * soft, ground.brightness_HW + 0.6 * soft)
    sigma[ground.label_HW == ROAD] -= ground.brightness_HW[ground.label_HW == ROAD]
    sigma[ground.height_HW > 0] -= 5.0  # a flat roof mirrors most of the pulse away
    sigma[ground.layover_HW] += 4.0  # wall, ground and their corner arrive together
    corner = (rng.random(size, dtype=np.float32) < 0.04) & (ground.layover_HW | (ground.height_HW > 0))
    sigma[corner] += 9.0
    sigma[ground.shadow_HW] = -40.0
    across_swath = np.linspace(0.5, -0.5, size[1], dtype=np.float32) * np.float32(0.09 * (incidence - 15))
    return np.asarray(sigma + across_swath, np.float32)


def _swath(rng: np.random.Generator, size: Size) -> Mask:
    """Where the sensor recorded; one scene in eight has a slanted edge without data."""
    if rng.random() >= 0.125:
        return np.ones(size, np.bool_)
    edge = size[1] * rng.uniform(0.04, 0.15) + np.arange(size[0]) * rng.uniform(-0.15, 0.15)
    empty = np.arange(size[1])[None, :] < edge[:, None]
    return ~empty if rng.random() < 0.5 else ~empty[:, ::-1]


def _place(rng: np.random.Generator, size: Size) -> tuple[CRS, Affine]:
    """A place of its own for every scene, so that no two splits show the same ground."""
    high, wide = round(size[0] * PIXEL_M), round(size[1] * PIXEL_M)
    x = 200_000 + wide * int(rng.integers(max(600_000 // wide, 1)))
    y = 1_000_000 + high * int(rng.integers(max(4_000_000 // high, 1)))
    return CRS.from_epsg(32650), Affine(PIXEL_M, 0, x, 0, -PIXEL_M, y)


def _family(name: str, bands: dict[str, tuple[str, float, float]]) -> Family:
    """The family with these bands: name -> title, mean and standard deviation."""
    measured = [
        Band(
            name=band,
            title=title,
            unit="1",
            wavelength_nm=WAVELENGTH_NM,
            valid_range=(0, BRIGHTEST),
            mean=mean,
            std=std,
        )
        for band, (title, mean, std) in bands.items()
    ]
    return Family(
        name=name,
        title=f"land cover under radar, {' and '.join(bands)}",
        sensor=Sensor(
            name=name.replace(":", "-"), title="Generated radar, calibrated amplitude", bands=tuple(measured)
        ),
        classes=CLASSES,
        domains=tuple(LANDSCAPES),
        draw=partial(draw, bands=tuple(bands)),
        domain_shares=(0.4, 0.35, 0.25),
    )


# Of 400 scenes: scripts/scene_pictures.py --statistics
_DUAL = _family(
    "sar:dual",
    {
        "VV": ("vertical sent and received", 0.284, 0.265),
        "VH": ("vertical sent, horizontal received", 0.142, 0.130),
    },
)
FAMILY = replace(_family("sar", {"amplitude": ("root of sigma nought", 0.284, 0.264)}), variants={"dual": _DUAL})
