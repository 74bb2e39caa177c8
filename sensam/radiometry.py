"""The contract between a model and an image: the same bands, in the same units and scaling, or a clear refusal."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

from sensam.errors import InputError, SettingsError
from sensam.sensors import Band, Sensor, name_key, nearest_to

CONTRACT = ("name", "wavelength_nm", "unit", "scale", "offset", "valid_range", "nodata", "dtype", "mean", "std")
NEAR_INFRARED_NM = 842.0
SAYS_NOTHING = re.compile(r"(band|layer|channel|ch|b|gray|grey|image)?[ _.#-]*[0-9]*", re.IGNORECASE)
UNUSED = "-"  # the name of a band that is there and not fed
LONGEST_LIST = 16  # names in a suggestion

# Only spellings that are known can contradict each other.
SPELLINGS = {
    "K": ("k", "kelvin"),
    "°C": ("c", "°c", "degc", "celsius", "degrees celsius", "degree_celsius", "deg_c"),
    "m": ("m", "meter", "meters", "metre", "metres"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "dB": ("db", "decibel", "decibels"),
    "%": ("%", "percent"),
    "1": ("1", "reflectance", "albedo", "unitless"),
}
UNIT_OF = {spelling: unit for unit, spellings in SPELLINGS.items() for spelling in spellings}


class Described(Protocol):
    """What is known of a file before a pixel is read; `sensam.data.raster.RasterInfo` has it."""

    @property
    def name(self) -> str: ...
    @property
    def bands(self) -> tuple[str, ...]: ...
    @property
    def dtypes(self) -> tuple[str, ...]: ...
    @property
    def wavelengths_nm(self) -> tuple[float | None, ...]: ...
    @property
    def units(self) -> tuple[str, ...]: ...
    @property
    def scaling(self) -> tuple[tuple[float, float] | None, ...]: ...
    @property
    def has_names(self) -> bool: ...
    @property
    def has_alpha(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Match:
    """Which band of a file (or of another sensor) is each band of the sensor, and how that is known."""

    bands: tuple[str, ...]  # names as the file has them, in the order of the sensor
    how: Literal["name", "wavelength", "count"]
    notes: tuple[str, ...] = ()  # lines to print: what was reordered, left out, or taken on trust


@dataclass(frozen=True, eq=False)
class RadiometryContract:
    """What a model has learnt its numbers to mean. Titles, aliases and display are no part of it."""

    sensor: Sensor

    @property
    def terms(self) -> tuple[dict[str, Any], ...]:
        return tuple(band.model_dump(mode="json", include=set(CONTRACT)) for band in self.sensor.bands)

    @property
    def fingerprint(self) -> str:
        """The same for equal contracts, wherever and whenever it is computed."""
        return hashlib.sha256(json.dumps(self.terms, sort_keys=True).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RadiometryContract) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def check(contract: RadiometryContract, other: Sensor | Described) -> Match:
    """How to feed a file, or images described by another sensor, to the model; an error where that would be wrong."""
    if isinstance(other, Sensor):
        return _check_sensor(contract.sensor, other)
    return match(contract.sensor, other)


def match(sensor: Sensor, info: Described, *, names: Sequence[str] | None = None) -> Match:
    """Find the sensor's bands in a file: by name, else by wavelength, else by count. `names` rename the file's."""
    called = _called(info) if names is None else _given(names, info)
    found = _by_name(sensor, called, info.name)
    if None not in found:
        result = _matched(sensor, info, called, found, "name")
    elif (by_length := _by_wavelength(sensor, info)) and names is None:
        result = _matched(sensor, info, called, by_length, "wavelength")
    else:
        result = _by_count(sensor, info, called, found, is_named=info.has_names or names is not None)
    _refuse_other_numbers(sensor, info, result)
    return result


def _called(info: Described) -> list[str]:
    """The names a file gives its bands; empty where we only count them."""
    return ["" if name == f"band_{position}" else name for position, name in enumerate(info.bands)]


def _given(names: Sequence[str], info: Described) -> list[str]:
    if len(names) != len(info.bands):
        raise SettingsError(
            f"{info.name} has {len(info.bands)} bands, but --bands names {len(names)}: {','.join(names)}. "
            f"Name every band, writing {UNUSED} for those that are not fed."
        )
    return list(names)


def _by_name(sensor: Sensor, called: Sequence[str], name: str) -> list[int | None]:
    keys = [name_key(each) for each in called]
    found: list[int | None] = []
    for band in sensor.bands:
        positions = [position for position, key in enumerate(keys) if key in band.keys]
        exact = [position for position in positions if called[position] == band.name]
        if len(positions) > 1 and len(exact) != 1:
            both = ", ".join(called[position] for position in positions)
            raise InputError(
                f"{name} has several bands for {band.name} of {sensor.name}: {both}. Name them with --bands."
            )
        found.append(next(iter(exact or positions), None))
    return found


def _by_wavelength(sensor: Sensor, info: Described) -> list[int]:
    """The nearest band for each; empty where a band has no wavelength, is too far away, or would be taken twice."""
    chosen: list[int] = []
    for band in sensor.bands:
        if band.wavelength_nm is None:
            return []
        wanted = band.wavelength_nm
        known = [(abs(length - wanted), at) for at, length in enumerate(info.wavelengths_nm) if length is not None]
        distance, position = min(known, default=(float("inf"), -1))
        if distance > tolerance_nm(wanted) or position in chosen:
            return []
        chosen.append(position)
    return chosen


def tolerance_nm(wavelength_nm: float) -> float:
    """How far a band's centre may lie from the sensor's: satellites of one series differ by about 1 %."""
    return max(12.0, 0.012 * wavelength_nm)


def _matched(
    sensor: Sensor,
    info: Described,
    called: Sequence[str],
    found: Sequence[int | None],
    how: Literal["name", "wavelength"],
) -> Match:
    positions = [position for position in found if position is not None]
    notes = []
    if how == "wavelength":
        pairs = ", ".join(f"{band.name} = {info.bands[at]}" for band, at in zip(sensor.bands, positions, strict=True))
        notes.append(f"{info.name}: bands matched by wavelength: {pairs}")
    elif positions != sorted(positions):
        notes.append(f"{info.name}: bands put into the order of {sensor.name}: {', '.join(sensor.band_names)}")
    spare = [called[position] or info.bands[position] for position in range(len(called)) if position not in positions]
    if spare:
        notes.append(f"{info.name}: not used: {_shortened(spare)}")
    return Match(tuple(info.bands[position] for position in positions), how, tuple(notes))


def _by_count(
    sensor: Sensor, info: Described, called: Sequence[str], found: Sequence[int | None], *, is_named: bool
) -> Match:
    """In the file's order, when nothing the file says speaks against it."""
    known = [position for position in found if position is not None]
    shown = _shortened([name or band for name, band in zip(called, info.bands, strict=True)])
    if is_named and known:
        missing = [band.name for band, position in zip(sensor.bands, found, strict=True) if position is None]
        raise InputError(f"{info.name} lacks {_shortened(missing)} of {sensor.name}. It has {shown}.")
    bands = info.bands
    if len(bands) + 1 == len(sensor.bands) and info.has_alpha:
        bands = (*bands, "alpha")
    if len(bands) != len(sensor.bands):
        raise InputError(_other_count(sensor, info))
    if is_named and not _only_counts(called, sensor):
        raise InputError(
            f"{info.name} names its bands {shown}, which {sensor.name} does not know. "
            f"Say which is which with --bands {_listed(sensor.band_names)}"
        )
    as_alpha = ", the last from the alpha channel" if bands != info.bands else ""
    note = f"{info.name} does not name its bands; taken in order as {_shortened(sensor.band_names)}{as_alpha}"
    return Match(tuple(bands), "count", (note,))


def _only_counts(called: Sequence[str], sensor: Sensor) -> bool:
    """Whether names say no more than a number in order: B10 as the eighth of eight means a band, as Landsat's is.

    A cube of which bad bands were dropped leaves out numbers too; there nothing but a number is known on either side.
    """
    if any(name and not SAYS_NOTHING.fullmatch(name) for name in called):
        return False
    numbers = [int(found[0]) for name in called if (found := re.search(r"[0-9]+", name))]
    in_order = len(numbers) < len(called) or all(later == earlier + 1 for earlier, later in pairwise(numbers))
    return in_order or all(SAYS_NOTHING.fullmatch(band.name) for band in sensor.bands)


def _other_count(sensor: Sensor, info: Described) -> str:
    count = len(info.bands)
    sees_colours = sensor.rgb is not None and any(band.wavelength_nm for band in sensor.bands)
    other = {3: "rgb", 4: "rgb-nir"}.get(count, f"hyperspectral-{count}")
    advice = f"use --sensor {other}" if sees_colours and count > 2 else "describe its sensor in a YAML file"
    return (
        f"{info.name} has {count} band{'s' if count > 1 else ''}, {sensor.name} has {len(sensor.bands)}. "
        f"Name them with --bands {_listed(_likely_names(sensor, count))}, or {advice}."
    )


def _likely_names(sensor: Sensor, count: int) -> list[str]:
    """What a file of so many bands most often holds: the colours, or blue, green, red and near infrared."""
    names = list(sensor.band_names)
    if sensor.rgb and count == 3:
        return list(sensor.rgb)
    infrared = nearest_to(NEAR_INFRARED_NM, [band.wavelength_nm for band in sensor.bands])
    if sensor.rgb and count == 4 and infrared:
        return [*reversed(sensor.rgb), names[infrared[0]]]
    return names[:count] + [UNUSED] * (count - len(names))


def _listed(names: Sequence[str]) -> str:
    return ",".join(names) if len(names) <= LONGEST_LIST else f"{','.join(names[:LONGEST_LIST])},..."


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - LONGEST_LIST
    return ", ".join(names[:LONGEST_LIST]) + (f" and {more} more" if more > 0 else "")


def _refuse_other_numbers(sensor: Sensor, info: Described, found: Match) -> None:
    """The same bands may still hold other numbers: another colour, type or unit, or a scaling nobody can interpret."""
    for band, name in zip(sensor.bands, found.bands, strict=True):
        if name not in info.bands:
            continue  # alpha, of which the file says nothing more
        position = info.bands.index(name)
        length, dtype, unit = info.wavelengths_nm[position], info.dtypes[position], info.units[position]
        if length and band.wavelength_nm and abs(length - band.wavelength_nm) > 2 * tolerance_nm(band.wavelength_nm):
            raise InputError(
                f"{info.name} has a band of {length:g} nm where {sensor.name} has {band.name} of "
                f"{band.wavelength_nm:g} nm. Name the bands with --bands, or describe the sensor in a YAML file."
            )
        if band.dtype is not None and dtype != band.dtype:
            raise InputError(
                f"{info.name} stores {band.name} as {dtype}, {sensor.name} takes {band.dtype}. Convert the file, "
                f"or write a sensor file with preset: {sensor.name} and every_band: {{dtype: {dtype}, scale: ...}}."
            )
        its, ours = UNIT_OF.get(unit.strip().lower()), UNIT_OF.get(band.unit.lower())
        if its and ours and its != ours:
            raise InputError(
                f"{info.name} gives {band.name} in {unit}, {sensor.name} takes {band.unit}. Convert the file, or give "
                "the band its unit in a sensor file."
            )
        try:
            band.scaling(info.scaling[position])
        except InputError as error:
            raise InputError(f"{info.name}: {error}") from error


def _check_sensor(model: Sensor, other: Sensor) -> Match:
    """One line for each kind of difference; only the order of bands may differ."""
    by_key = {key: band for band in other.bands for key in band.keys}
    pairs = [(band, by_key.get(name_key(band.name))) for band in model.bands]
    missing = [band.name for band, its in pairs if its is None]
    if missing:
        raise SettingsError(f"{other.name} lacks {_shortened(missing)} of the model's sensor {model.name}.")
    both = [(band, its) for band, its in pairs if its is not None]
    lines = [line for kind, shown, differ in KINDS if (line := _difference(kind, shown, differ, both))]
    if lines:
        raise SettingsError("\n".join([f"{other.name} is not what the model has learnt:", *lines]))
    bands = tuple(its.name for _, its in both)
    moved = bands != other.band_names
    return Match(bands, "name", (f"bands of {other.name} put into the order {', '.join(bands)}",) if moved else ())


Shown = Callable[[Band], str]
Differ = Callable[[Band, Band], bool]


def _difference(kind: str, shown: Shown, differ: Differ, both: Sequence[tuple[Band, Band]]) -> str:
    wrong = [(mine, its) for mine, its in both if differ(mine, its)]
    if not wrong:
        return ""
    mine, its = wrong[0]
    more = f" (and in {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{kind} of {mine.name}: {shown(its)}, the model's is {shown(mine)}{more}"


def _other_wavelength(mine: Band, its: Band) -> bool:
    if mine.wavelength_nm is None or its.wavelength_nm is None:
        return False
    return abs(mine.wavelength_nm - its.wavelength_nm) > tolerance_nm(mine.wavelength_nm)


def _text(*numbers: float | None) -> str:
    return " to ".join("none" if number is None else f"{number:g}" for number in numbers)


KINDS: tuple[tuple[str, Shown, Differ], ...] = (
    ("wavelength", lambda band: f"{band.wavelength_nm:g} nm", _other_wavelength),
    ("unit", lambda band: band.unit or "none", lambda mine, its: mine.unit != its.unit),
    (
        "scaling",
        lambda band: f"stored x {band.scale:g} + {band.offset:g}",
        lambda mine, its: (mine.scale, mine.offset) != (its.scale, its.offset),
    ),
    (
        "nodata rule",
        lambda band: f"nodata {_text(band.nodata)}, valid range {_text(*band.valid_range or (None,))}",
        lambda mine, its: (mine.nodata, mine.valid_range) != (its.nodata, its.valid_range),
    ),
    ("stored type", lambda band: band.dtype or "any", lambda mine, its: mine.dtype != its.dtype),
    (
        "statistics",
        lambda band: f"mean {band.mean:g}, std {band.std:g}",
        lambda mine, its: None not in (mine.mean, its.mean) and (mine.mean, mine.std) != (its.mean, its.std),
    ),
)
