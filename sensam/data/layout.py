"""The dataset.yaml: where images and masks lie, what their values mean, how they are split."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from sensam.complaints import UNREADABLE, explain, explain_reading
from sensam.data.stretch import Stretch
from sensam.errors import InputError, SettingsError
from sensam.sensors import Sensor, load_sensor

FILE_NAME = "dataset.yaml"
Colour = tuple[int, int, int]

# Told apart by people with any colour vision, and on dark and light grounds; given to classes that name no colour.
HOUSE_COLOURS = ("#8c8c8c", "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#7f3c8d")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def parse_colour(value: Any) -> Colour:
    """A colour from `#rrggbb` or three numbers."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    if isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(v, int) and 0 <= v < 256 for v in value):
        return value[0], value[1], value[2]
    raise ValueError(f"a colour is written '#rrggbb' or [red, green, blue], found {value!r}")


def _stored_values(value: Any) -> tuple[int | Colour | str, ...]:
    return tuple(_stored_value(entry) for entry in (value if isinstance(value, list | tuple) else [value]))


def _stored_value(value: Any) -> int | Colour | str:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"a stored value is a whole number, a colour or an attribute, found {value!r}")
    if isinstance(value, int):
        return value
    if isinstance(value, str) and not value.startswith("#"):
        return value
    return parse_colour(value)


Stored = Annotated[tuple[int | Colour | str, ...], BeforeValidator(_stored_values)]


class ClassSpec(_Frozen):
    """One class: its name, its colour in pictures, and what in the mask files means it."""

    name: str
    colour: Annotated[Colour, BeforeValidator(parse_colour)] | None = Field(default=None, alias="color")
    stored: Stored = ()  # values, colours or attributes in the files; by default the position, colour or name


class LabelSpec(_Frozen):
    """How mask files say which class a pixel is."""

    codec: Literal["index", "palette", "polygons"] = "index"
    divide: int = Field(default=1, ge=1)  # class code = value // divide
    channel: int | None = Field(default=None, ge=0)  # the one channel of an RGB mask that holds the value
    ignored: Stored = ()  # further values or colours that mean "do not learn, do not score"
    unknown: Literal["error", "ignore"] = "error"  # what a value of no class is
    stretch: Literal["nearest", "linear"] | None = None  # masks of another size than their image are stretched to it
    attribute: str | None = None  # polygons: the field with the class; without it every polygon is the last class
    uncovered: str | None = None  # polygons: the class of ground under none, or "ignore"

    @model_validator(mode="after")
    def _settings_belong_to_the_codec(self) -> Self:
        belongs = {
            "index": {"divide", "channel", "stretch"},
            "palette": {"stretch"},
            "polygons": {"attribute", "uncovered"},
        }
        others = set().union(*belongs.values()) - belongs[self.codec]
        wrong = sorted(others & {name for name in self.model_fields_set if getattr(self, name) is not None})
        if wrong:
            raise ValueError(f"{', '.join(wrong)} does nothing with label: {self.codec}")
        return self


def _groups(expression: str) -> int:
    try:
        return re.compile(expression).groups
    except re.error:
        return 0


class FilesSpec(_Frozen):
    """Files of one kind, one for each sample: a pattern, and how to take numbers out of them."""

    files: str
    key: str | None = None  # a regular expression whose groups are the key, where the stars hold more than that
    variable: str | None = None  # the array inside an .npz, .mat, .h5 or .nc file, "group/name" in a group
    axes: Literal["HW", "HWC", "CHW"] | None = None  # where an array has its bands, when its shape does not tell
    unpack: Literal["rgb24"] | None = None  # one number of 24 bits in R + 256 G + 65536 B
    log1p: bool = False  # log(1 + number * scale) instead of the number: depth from the lens to the horizon
    scale: float = 1.0
    stretch: Stretch | None = None  # radar as amplitude, intensity or decibel, clipped or not

    @model_validator(mode="after")
    def _only_what_is_unpacked_is_scaled(self) -> Self:
        if self.unpack is None and (self.log1p or self.scale != 1):
            raise ValueError(
                "scale and log1p go with `unpack`; what else is stored is scaled by its band in the sensor"
            )
        if self.unpack is not None and self.stretch is not None:
            raise ValueError("stretch is for radar, unpack for numbers in three bytes; give one of them")
        return self

    @field_validator("key")
    @classmethod
    def _key_is_an_expression(cls, key: str | None) -> str | None:
        if key is not None and not _groups(key):
            raise ValueError(f"key is a regular expression with a group such as _(\\d+)\\.tif, found {key!r}")
        return key


class SplitSpec(_Frozen):
    """Which samples belong to a split, and which part of each."""

    folder: str | None = None  # what stands for {split} in the patterns
    keys: tuple[str, ...] = ("*",)  # patterns over keys, or a .txt file with one key a line
    share: float | None = Field(default=None, gt=0, le=1)  # part of all samples, dealt by a hash of the key
    rows: tuple[float, float] = (0.0, 1.0)  # part of every scene, from top to bottom
    columns: tuple[float, float] = (0.0, 1.0)

    @model_validator(mode="after")
    def _parts_are_intervals(self) -> Self:
        for name, (start, stop) in {"rows": self.rows, "columns": self.columns}.items():
            if not 0 <= start < stop <= 1:
                raise ValueError(f"{name} is a part of the scene such as [0, 0.8], found [{start}, {stop}]")
        return self


class BandStatistics(_Frozen):
    """What `sensam stats` found in one band: physical, valid values of the training split."""

    mean: float
    std: float = Field(ge=0)
    min: float
    max: float
    percentiles: dict[str, float] = {}
    pixels: int = Field(ge=0)


class DatasetSpec(_Frozen):
    """Everything a dataset.yaml can say."""

    name: str = ""
    root: Path = Path()  # where the patterns start; environment variables are filled in
    sensor: Sensor
    bands: tuple[str, ...] | None = None  # the bands to feed, when not all of the sensor's
    images: dict[str, FilesSpec] = Field(min_length=1)
    masks: FilesSpec | None = None
    classes: tuple[ClassSpec, ...] = ()
    ignore: int = Field(default=255, ge=0)
    label: LabelSpec = LabelSpec()
    splits: dict[str, SplitSpec] = Field(min_length=1)
    domains: dict[str, tuple[str, ...]] = {}
    statistics: dict[str, BandStatistics] = {}

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        names = [entry.name for entry in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"class names must differ, found {names}")
        if self.ignore < len(names):
            raise ValueError(f"ignore is {self.ignore}, which is class {names[self.ignore]!r}; take 255")
        if self.masks and (self.masks.unpack or self.masks.stretch):
            raise ValueError(
                "masks are not unpacked, nor stretched; name the channel that holds the class with label.channel"
            )
        if self.masks and not names:
            raise ValueError("masks without classes: list the classes, in the order of their numbers")
        if self.label.codec == "polygons" and self.label.uncovered not in {*names, "ignore"}:
            raise ValueError(f"ground under no polygon needs label.uncovered: 'ignore' or one of {names}")
        starred = any("*" in files.files for files in self.images.values())
        if self.masks and starred and "*" not in self.masks.files and self.label.codec != "polygons":
            raise ValueError(f"masks: {self.masks.files} needs a * as the images have; only polygons are shared")
        by_folder = [name for name, split in self.splits.items() if split.folder is not None]
        holed = any("{split}" in files.files for files in self.images.values())
        if by_folder and not holed:
            raise ValueError(f"no pattern of images has {{split}}, so splits {by_folder} would be the same files")
        if holed and any(split.share for split in self.splits.values()):
            raise ValueError("shares deal the images of one folder, but the patterns have {split}")
        return self

    @property
    def colours(self) -> tuple[Colour, ...]:
        """One colour for each class, its own or one of the house."""
        spare = [parse_colour(colour) for colour in HOUSE_COLOURS]
        return tuple(entry.colour or spare[position % len(spare)] for position, entry in enumerate(self.classes))


def read_mapping(path: Path) -> dict[str, Any]:
    """A dataset.yaml as it is written."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as YAML ({explain_reading(error)}).") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path} must be a mapping with `sensor`, `images`, `splits`; found {type(raw).__name__}.")
    return raw


def parse_spec(raw: dict[str, Any], *, base: Path, where: str = FILE_NAME) -> DatasetSpec:
    """Settings as read from YAML -> a checked specification; short forms are written out."""
    full = dict(raw)
    full["root"] = base / expand(str(raw.get("root", ".")), where)
    if isinstance(raw.get("sensor"), str):
        full["sensor"] = _load_sensor(expand(raw["sensor"], where), base)
    elif isinstance(raw.get("sensor"), dict):
        full["sensor"] = Sensor.from_dict(_named(raw["sensor"]), where=f"{where}: sensor")
    if "images" in raw:
        full["images"] = _images(raw["images"])
    if isinstance(raw.get("masks"), str):
        full["masks"] = {"files": raw["masks"]}
    if isinstance(raw.get("label"), str):
        full["label"] = {"codec": raw["label"]}
    if isinstance(raw.get("classes"), list):
        full["classes"] = [{"name": entry} if isinstance(entry, str) else entry for entry in raw["classes"]]
    full["splits"] = _splits(raw.get("splits", {"train": "*"}), holed="{split}" in str(raw.get("images")))
    if isinstance(raw.get("domains"), dict):
        full["domains"] = {name: [e] if isinstance(e, str) else e for name, e in raw["domains"].items()}
    try:
        return DatasetSpec.model_validate(full)
    except ValidationError as error:
        raise explain(error, DatasetSpec, where) from error


def expand(text: str, where: str) -> str:
    expanded = os.path.expandvars(text)
    missing = re.search(r"\$\{?(\w+)", expanded)
    if missing:
        raise SettingsError(f"{where} uses ${missing[1]}, which is not set. Run: export {missing[1]}=...")
    return expanded


def _named(sensor: dict[str, Any]) -> dict[str, Any]:
    return sensor if "preset" in sensor else {"name": "own", **sensor}


def _load_sensor(name: str, base: Path) -> Sensor:
    return load_sensor(base / name if name.endswith((".yaml", ".yml")) else name)


def _images(raw: Any) -> Any:
    if isinstance(raw, str) or (isinstance(raw, dict) and isinstance(raw.get("files"), str)):
        raw = {"image": raw}
    if isinstance(raw, dict):
        return {name: {"files": entry} if isinstance(entry, str) else entry for name, entry in raw.items()}
    return raw


def _splits(raw: Any, *, holed: bool) -> Any:
    """Splits as a list of folders, or a mapping to a folder, patterns over keys, a share, or the full form."""
    if isinstance(raw, list):
        return {str(name): {"folder": str(name)} for name in raw}
    if not isinstance(raw, dict):
        return raw
    return {name: _split(entry, holed=holed) for name, entry in raw.items()}


def _split(entry: Any, *, holed: bool) -> Any:
    if isinstance(entry, str):
        return {"folder": entry} if holed else {"keys": [entry]}
    if isinstance(entry, list):
        return {"keys": entry}
    if isinstance(entry, int | float) and not isinstance(entry, bool):
        return {"share": entry}
    return entry
