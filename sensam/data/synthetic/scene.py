"""What a generated scene and a family of them are, and the seeding that makes a scene a pure function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Raster
from sensam.errors import InputError, SettingsError, unknown
from sensam.sensors import Sensor

IGNORE = 255
SMALLEST_SIDE = 16
Size = tuple[int, int]  # rows, columns


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """A class as a data set names and draws it; its index is its position."""

    name: str
    colour: str  # "#rrggbb"


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One generated image with everything that is true about it."""

    raster: Raster
    label_HW: NDArray[np.uint8]  # class index; 255 where nothing was observed
    instances_HW: NDArray[np.int32] | None  # 0 is background, objects count from 1
    domain: str
    meta: Mapping[str, float | str]  # what was drawn for this scene: sun, looks, water temperature, ...


Draw = Callable[[np.random.Generator, Size, str], Scene]


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A kind of generated scene: its sensor, its classes, and the domains it comes in."""

    name: str
    title: str
    sensor: Sensor
    classes: tuple[ClassInfo, ...]
    domains: tuple[str, ...]
    draw: Draw  # paints a scene of a domain with nothing but the given random numbers
    domain_shares: tuple[float, ...] = (1.0,)  # how often a domain comes when none is asked for
    variants: Mapping[str, "Family"] = field(default_factory=dict)  # the same with other bands, as NAME:VARIANT
    domain_sensors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what differs in a domain's sensor

    def sensor_of(self, domain: str | None) -> Sensor:
        """The sensor as it is in a domain."""
        return self.sensor.model_copy(update=self.domain_sensors.get(domain or "", {}))

    def make(self, seed: int, index: int, size: Size, *, domain: str | None = None) -> Scene:
        """Scene number `index` of a seed: the same for the same arguments, on any machine, in any order."""
        if seed < 0 or index < 0:
            raise SettingsError(f"Seed and index must not be negative, found seed {seed} and index {index}.")
        if min(size) < SMALLEST_SIDE:
            raise InputError(f"A scene needs at least {SMALLEST_SIDE} rows and columns, found {size[0]} x {size[1]}.")
        if domain is None:
            domain = self._usual_domain(seed, index)
        elif domain not in self.domains:
            raise unknown(f"domain of {self.name}", domain, self.domains)
        key = [seed, crc32(self.name.encode()), index, *size, crc32(domain.encode())]
        return self.draw(np.random.default_rng(np.random.SeedSequence(key)), size, domain)

    def _usual_domain(self, seed: int, index: int) -> str:
        key = np.random.SeedSequence([seed, crc32(self.name.encode()), index])
        return str(np.random.default_rng(key).choice(self.domains, p=self.domain_shares))
