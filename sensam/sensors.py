"""What the numbers of an image mean: bands, wavelengths, units, valid range, scaling, statistics, geometry."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensam.errors import InputError, SettingsError, unknown

Geometry = Literal["nadir", "perspective", "equirectangular", "fisheye"]
Stored = Literal[
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"
]
STORED_NUMBERS = "DN"  # the unit of a band whose stored numbers are meant as they are
RED_GREEN_BLUE_NM = (650.0, 560.0, 470.0)
VISIBLE_REACH_NM = 60.0  # a band farther than this from a colour does not look like it


class Pixels(Protocol):
    """What a sensor needs of an image; `sensam.data.raster.Raster` has it."""

    @property
    def pixels_CHW(self) -> NDArray[np.float32]: ...
    @property
    def valid_CHW(self) -> NDArray[np.bool_]: ...
    @property
    def bands(self) -> tuple[str, ...]: ...
    @property
    def is_decoded(self) -> bool: ...
    @property
    def scaling(self) -> tuple[tuple[float, float] | None, ...]: ...
    def with_pixels(
        self, pixels_CHW: NDArray[np.float32], valid_CHW: NDArray[np.bool_], *, is_decoded: bool
    ) -> Self: ...


Image = TypeVar("Image", bound=Pixels)


def name_key(name: str) -> str:
    """What two spellings of a band have in common: B2, B02 and b_02 are one."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[^a-z0-9]", "", name.lower()))


class Band(BaseModel):
    """One plane of numbers. A stored value v means v * scale + offset, in `unit`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(min_length=1)
    title: str = ""  # what a person would call it: "red edge 1"
    aliases: tuple[str, ...] = ()  # other names files use for it
    wavelength_nm: float | None = Field(default=None, gt=0)
    unit: str = ""  # "DN" means the stored numbers as they are, whatever scaling a file states
    scale: float = 1.0
    offset: float = 0.0
    valid_range: tuple[float, float] | None = None  # physical values outside are no data
    nodata: float | None = None  # the stored value that means "nothing here"
    dtype: Stored | None = None  # the only type files may store it in; None takes any
    mean: float | None = None  # of physical, valid values
    std: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale 0 would make every value the same")
        if self.valid_range and self.valid_range[0] >= self.valid_range[1]:
            raise ValueError(f"valid_range must rise, found {list(self.valid_range)}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std come together: give both, or neither")
        return self

    @property
    def keys(self) -> frozenset[str]:
        """Every name of this band, as `name_key` compares them."""
        return frozenset(name_key(name) for name in (self.name, *self.aliases))

    def scaling(self, stated: tuple[float, float] | None) -> tuple[float, float]:
        """Scale and offset to apply, given what a file states itself: the file knows best how it was packed."""
        if stated is None or self.unit == STORED_NUMBERS:
            return self.scale, self.offset
        if not self.unit:
            raise InputError(
                f"The file states that {self.name} is stored x {stated[0]:g} + {stated[1]:g}, but the sensor gives "
                f"it no unit. Give the unit of the result, or unit: {STORED_NUMBERS} to keep the stored numbers."
            )
        return stated

    def decode(
        self, stored: NDArray[np.float32], valid: NDArray[np.bool_], stated: tuple[float, float] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Physical values, 0 where not valid, and where they are valid."""
        valid = valid & np.isfinite(stored)
        if self.nodata is not None:
            valid &= stored != np.float32(self.nodata)
        scale, offset = self.scaling(stated)
        physical = np.where(valid, stored, np.float32(0)) * np.float32(scale) + np.float32(offset)
        if self.valid_range:
            low, high = self.valid_range
            slack = 1e-6 * (high - low)  # so that rounding to float32 loses nothing at the ends
            valid &= (physical >= low - slack) & (physical <= high + slack)
        return np.where(valid, physical, np.float32(0)), valid


class Sensor(BaseModel):
    """An ordered set of bands, with the triple that looks like a photograph and the way it sees the world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""  # what it is, and what for
    bands: tuple[Band, ...] = Field(min_length=1)
    rgb: tuple[str, str, str] | None = None  # names of the bands shown as red, green, blue
    geometry: Geometry = "nadir"
    fov_deg: float | None = Field(default=None, gt=0, lt=360)  # of a fisheye: over the columns, as far as its circle
    source: str = ""  # where the facts come from

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        names = self.band_names
        if len(set(names)) != len(names):
            raise ValueError(f"band names must differ, found {list(names)}")
        seen: dict[str, str] = {}
        for band in self.bands:
            for key in band.keys:
                if key in seen:
                    raise ValueError(f"{seen[key]} and {band.name} share the name or alias {key!r}")
                seen[key] = band.name
        missing = [name for name in self.rgb or () if name not in names]
        if missing:
            raise ValueError(f"rgb names {missing}, but the bands are {list(names)}")
        if (self.geometry == "fisheye") != (self.fov_deg is not None):
            raise ValueError("geometry: fisheye and fov_deg, its degrees over the columns, come together or not at all")
        return self

    @property
    def band_names(self) -> tuple[str, ...]:
        return tuple(band.name for band in self.bands)

    def index(self, name: str) -> int:
        """Position of a band, by its name or an alias."""
        wanted = name_key(name)
        for position, band in enumerate(self.bands):
            if wanted in band.keys:
                return position
        raise unknown(f"band of {self.name}", name, self.band_names)

    def select(self, names: Sequence[str]) -> "Sensor":
        """The same sensor with these bands only, in this order."""
        bands = tuple(self.bands[self.index(name)] for name in names)
        kept = [band.name for band in bands]
        if len(set(kept)) != len(kept):
            raise SettingsError(f"Bands {', '.join(names)} of {self.name} name one band twice.")
        if not bands:
            raise SettingsError(f"No band of {self.name} was chosen. It has {', '.join(self.band_names)}.")
        rgb = self.rgb if self.rgb and set(self.rgb) <= set(kept) else None
        return self.model_copy(update={"bands": bands, "rgb": rgb})

    @property
    def display(self) -> tuple[int, int, int]:
        """Positions of the bands to show as red, green and blue; false colours where none look like them."""
        if self.rgb:
            red, green, blue = (self.index(name) for name in self.rgb)
            return red, green, blue
        lengths = [band.wavelength_nm for band in self.bands]
        near = [position for colour in RED_GREEN_BLUE_NM for position in nearest_to(colour, lengths)]
        if len(set(near)) == 3:
            return near[0], near[1], near[2]
        last = len(self.bands) - 1
        if None in lengths or last < 2:
            return 0, min(1, last), min(2, last) if last > 1 else 0
        order = sorted(range(last + 1), key=lambda position: lengths[position] or 0.0)
        return order[last], order[last // 2], order[0]

    def decode(self, raster: Image) -> Image:
        """Stored numbers to physical units; nodata, NaN and what lies outside the valid range become invalid."""
        self._expect(raster, is_decoded=False)
        stated = raster.scaling or (None,) * len(self.bands)
        planes = [
            band.decode(stored, valid, scaling)
            for band, stored, valid, scaling in zip(
                self.bands, raster.pixels_CHW, raster.valid_CHW, stated, strict=True
            )
        ]
        physical, valid = zip(*planes, strict=True)
        return raster.with_pixels(np.stack(physical), np.stack(valid), is_decoded=True)

    def normalise(self, raster: Pixels) -> NDArray[np.float32]:
        """Decoded pixels minus the mean, over the standard deviation, and 0 where not valid.

        The statistics are the sensor's, the same for every image and tile.
        """
        self._expect(raster, is_decoded=True)
        mean, std = self.statistics
        pixels = np.where(raster.valid_CHW, raster.pixels_CHW, mean[:, None, None])
        return (pixels - mean[:, None, None]) / std[:, None, None]

    @property
    def statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Means and standard deviations of all bands; an error where one is missing."""
        missing = [band.name for band in self.bands if band.mean is None]
        if missing:
            raise SettingsError(
                f"Sensor {self.name} has no statistics for {', '.join(missing)}. "
                "Write them into the data set with: sensam stats DATASET"
            )
        return (
            np.array([band.mean for band in self.bands], np.float32),
            np.array([band.std for band in self.bands], np.float32),
        )

    def with_statistics(self, means: Iterable[float], stds: Iterable[float]) -> "Sensor":
        """The same sensor with the mean and standard deviation of every band, in physical units."""
        parts = zip(self.bands, means, stds, strict=True)
        bands = [{**band.model_dump(), "mean": mean, "std": std} for band, mean, std in parts]
        return Sensor.from_dict({**self.model_dump(), "bands": bands}, where=f"sensor {self.name}")

    def _expect(self, raster: Pixels, *, is_decoded: bool) -> None:
        if raster.bands != self.band_names:
            raise InputError(
                f"The image has bands {', '.join(raster.bands)}, but sensor {self.name} needs "
                f"{', '.join(self.band_names)}, in this order. Match the file to the sensor first."
            )
        if raster.is_decoded and not is_decoded:
            raise InputError(f"The image is in physical units already; {self.name} must not decode it twice.")
        if is_decoded and not raster.is_decoded:
            raise InputError(f"The image holds stored numbers. Decode it with {self.name} before normalising it.")

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it: what travels in a model's config.json."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "sensor") -> "Sensor":
        """A sensor from settings; a mistake becomes one line that begins with `where`.

        `preset: NAME` starts from a preset; `every_band: {...}` sets a field of all bands; a band given as text
        is only its name, and after `preset` chooses that band.
        """
        try:
            return cls.model_validate(_expanded(values, where))
        except ValidationError as error:
            raise SettingsError(f"{where}: {_explain(error)}") from error


def nearest_to(wavelength_nm: float, lengths: Sequence[float | None]) -> list[int]:
    """Position of the band that looks most like this colour; empty where none does."""
    known = [(abs(length - wavelength_nm), position) for position, length in enumerate(lengths) if length]
    distance, position = min(known, default=(VISIBLE_REACH_NM + 1, -1))
    return [position] if distance <= VISIBLE_REACH_NM else []


def preset_names() -> list[str]:
    """Names of the sensors that come with the package."""
    folder = resources.files("sensam") / "presets"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_sensor(name_or_path: str | Path) -> Sensor:
    """A preset by name, `hyperspectral-N`, or a sensor from a YAML file."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise InputError(f"{path} does not exist. Give a YAML file or a preset ({', '.join(preset_names())}).")
        return Sensor.from_dict(_parse(path.read_text(encoding="utf-8"), str(path)), where=str(path))
    if count := re.fullmatch(r"hyperspectral-([0-9]+)", str(name_or_path)):
        return hyperspectral(int(count[1]))
    names = preset_names()
    if str(name_or_path) not in names:
        family = [name for name in names if name_key(name).startswith(name_key(str(name_or_path)))]
        if family:
            raise SettingsError(f"There is no sensor named '{name_or_path}'. Did you mean {' or '.join(family)}?")
        raise unknown("sensor", str(name_or_path), [*names, "hyperspectral-156"])
    text = (resources.files("sensam") / "presets" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    return Sensor.from_dict(_parse(text, str(name_or_path)), where=str(name_or_path))


def hyperspectral(count: int, wavelengths_nm: Sequence[float] | None = None) -> Sensor:
    """A sensor of many narrow bands, shown in natural colours where the wavelengths are known and reach them."""
    if wavelengths_nm is not None and len(wavelengths_nm) != count:
        raise SettingsError(f"{count} bands need {count} wavelengths, found {len(wavelengths_nm)}.")
    lengths: Sequence[float | None] = wavelengths_nm if wavelengths_nm is not None else [None] * count
    bands = [{"name": f"band_{position}", "wavelength_nm": length} for position, length in enumerate(lengths)]
    return Sensor.from_dict(
        {"name": f"hyperspectral-{count}", "title": f"Hyperspectral, {count} narrow bands", "bands": bands},
        where=f"hyperspectral-{count}",
    )


def _parse(text: str, where: str) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{where} is not valid YAML: {getattr(error, 'problem', error)}{place}.") from error
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} holds no sensor. It needs at least name: and bands:")
    return values


def _expanded(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings with `preset`, `every_band` and bands given as text written out."""
    settings = dict(values)
    every_band = settings.pop("every_band", None) or {}
    if "preset" in settings:
        preset = load_sensor(str(settings.pop("preset")))
        chosen = settings.pop("bands", None)
        if chosen is not None:
            preset = preset.select([_name_of(band, where) for band in chosen])
        own = {band["name"]: band for band in chosen or () if isinstance(band, Mapping)}
        changed = [{**band.model_dump(), **every_band, **own.get(band.name, {})} for band in preset.bands]
        return {**preset.model_dump(), **settings, "bands": changed}
    bands: object = settings.get("bands")
    if isinstance(bands, Sequence) and not isinstance(bands, str):
        named = [{"name": band} if isinstance(band, str) else band for band in bands]
        settings["bands"] = [{**every_band, **band} if isinstance(band, Mapping) else band for band in named]
    return settings


def _name_of(band: Any, where: str) -> str:
    name = band.get("name") if isinstance(band, Mapping) else band
    if not isinstance(name, str):
        raise SettingsError(f"{where}: bands: {band!r} is neither a band's name nor a band with a name.")
    return name


def _explain(error: ValidationError) -> str:
    """What pydantic found, in one line, with the place of each mistake."""
    problems = error.errors()
    causes = [problem for problem in problems if problem["type"] != "too_short"]  # bands count as none when one is bad
    lines = []
    for problem in causes or problems:
        place = ".".join(str(part) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = Band.model_fields if "bands" in problem["loc"] else Sensor.model_fields
            nearest = get_close_matches(str(problem["loc"][-1]), known, n=1)
            text = f"there is no such setting; did you mean {nearest[0]}?" if nearest else "there is no such setting"
        elif problem["type"] not in {"missing", "value_error"}:
            text = f"{text}, found {problem['input']!r}"
        lines.append(f"{place}: {text}" if place else text)
    return "; ".join(lines)
