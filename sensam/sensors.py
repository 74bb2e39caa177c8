"""What the numbers of an image mean: bands, wavelengths, units, valid range, scaling, statistics, geometry."""

from importlib import resources
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensam.errors import InputError, unknown

Geometry = Literal["nadir", "perspective", "equirectangular"]


class Band(BaseModel):
    """One plane of numbers. A stored value v means v * scale + offset, in `unit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""  # what a person would call it: "red edge 1"
    aliases: tuple[str, ...] = ()  # other names files use for it
    wavelength_nm: float | None = Field(default=None, gt=0)
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    valid_range: tuple[float, float] | None = None  # physical values outside are no data
    nodata: float | None = None  # the stored value that means "nothing here"
    mean: float | None = None  # of physical, valid values
    std: float | None = Field(default=None, gt=0)


class Sensor(BaseModel):
    """An ordered set of bands, with the triple that looks like a photograph and the way it sees the world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    bands: tuple[Band, ...] = Field(min_length=1)
    rgb: tuple[str, str, str] | None = None  # names of the bands shown as red, green, blue
    geometry: Geometry = "nadir"
    source: str = ""  # where the facts come from

    @model_validator(mode="after")
    def _names_are_unique_and_rgb_exists(self) -> Self:
        names = self.band_names
        if len(set(names)) != len(names):
            raise ValueError(f"band names must differ, found {list(names)}")
        missing = [name for name in self.rgb or () if name not in names]
        if missing:
            raise ValueError(f"rgb names {missing}, but the bands are {list(names)}")
        return self

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)

    def index(self, name: str) -> int:
        """Position of a band, by its name or an alias."""
        for position, band in enumerate(self.bands):
            if name == band.name or name in band.aliases:
                return position
        raise unknown(f"band of {self.name}", name, self.band_names)

    def select(self, names: tuple[str, ...]) -> "Sensor":
        """The same sensor with these bands only, in this order."""
        bands = tuple(self.bands[self.index(name)] for name in names)
        kept = {band.name for band in bands}
        rgb = self.rgb if self.rgb and set(self.rgb) <= kept else None
        return self.model_copy(update={"bands": bands, "rgb": rgb})


def preset_names() -> list[str]:
    """Names of the sensors that come with the package."""
    folder = resources.files("sensam") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_sensor(name_or_path: str | Path) -> Sensor:
    """A preset by name, or a sensor from a YAML file."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"{path} does not exist. Give a preset ({', '.join(preset_names())}) or a YAML file.")
        return Sensor.model_validate(yaml.safe_load(path.read_text()))
    preset = resources.files("sensam") / "presets" / f"{name_or_path}.yaml"
    if not preset.is_file():
        raise unknown("sensor", str(name_or_path), preset_names())
    return Sensor.model_validate(yaml.safe_load(preset.read_text()))
