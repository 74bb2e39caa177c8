"""From what a mask file stores to class numbers: index values, colours, codes; nothing unknown becomes class 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.layout import ClassSpec, Colour, DatasetSpec, LabelSpec
from sensam.errors import InputError, SettingsError

LabelHW = NDArray[Any]  # class numbers and the ignore value, in the smallest unsigned type that holds them
_DENSE = 1 << 16  # values up to here are decoded by one look into a table
_UNKNOWN = -1
ABSENT = -(1 << 62)  # the code of NaN: no value a file could hold


@dataclass(frozen=True)
class LabelCodec:
    """Stored numbers of a mask (one plane, or red, green, blue) -> class numbers."""

    classes: tuple[ClassSpec, ...]
    ignore: int = 255
    rule: LabelSpec = field(default_factory=LabelSpec)
    colours: tuple[Colour, ...] = ()  # of the classes, for palettes

    @classmethod
    def of(cls, spec: DatasetSpec) -> "LabelCodec":
        """The codec a dataset.yaml asks for."""
        return cls(spec.classes, spec.ignore, spec.label, spec.colours)

    @property
    def dtype(self) -> type[np.unsignedinteger[Any]]:
        """The smallest type that holds every class and the ignore value."""
        return np.uint8 if max(self.ignore, len(self.classes) - 1) < 256 else np.uint16

    @cached_property
    def meanings(self) -> Mapping[int, int]:
        """Code -> class number or the ignore value. Codes are values (after dividing), or colours as 0xRRGGBB."""
        meanings = {} if self.rule.codec == "palette" else {self.ignore: self.ignore, ABSENT: self.ignore}
        meanings |= {_code(entry, self.rule): self.ignore for entry in self.rule.ignored}
        owners: dict[int, str] = {}
        for number, entry in enumerate(self.classes):
            default: Sequence[Any] = [self.colours[number]] if self.rule.codec == "palette" else [number]
            for code in (_code(stored, self.rule) for stored in entry.stored or default):
                if owners.setdefault(code, entry.name) != entry.name:
                    raise SettingsError(
                        f"Classes {owners[code]} and {entry.name} are both stored as {self.name_of(code)}. "
                        "Give each its own `stored` value."
                    )
                meanings[code] = number
        return meanings

    @cached_property
    def _is_plain(self) -> bool:
        """Whether every class is stored as its own number."""
        return all(self.meanings.get(number) == number for number in range(len(self.classes)))

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """Code -> class number for every number of 16 bits without a sign."""
        return self._table_from(0)

    @cached_property
    def _signed_table(self) -> NDArray[np.int32]:
        """The same for numbers with a sign, looked up by their bits."""
        return np.roll(self._table_from(-_DENSE // 2), _DENSE // 2)

    def _table_from(self, lowest: int) -> NDArray[np.int32]:
        table = np.full(_DENSE, _UNKNOWN, np.int32)
        for code, number in self.meanings.items():
            if 0 <= code - lowest < _DENSE:
                table[code - lowest] = number
        return table

    def decode(self, stored_CHW: NDArray[Any], *, where: str, nodata: float | None = None) -> LabelHW:
        """Class numbers. A value of no class is an error or `ignore`, as the data set says.

        The file's own nodata value is `ignore` too, unless it is declared as a class: many writers put 0 there.
        """
        codes_HW = self.codes(stored_CHW, where)
        if (
            self._is_plain
            and codes_HW.dtype == self.dtype
            and (not codes_HW.size or codes_HW.max() < len(self.classes))
        ):
            return codes_HW
        numbers_HW = self._numbers(codes_HW)
        if numbers_HW.size and int(numbers_HW.min()) == _UNKNOWN:
            unknown_HW = (numbers_HW == _UNKNOWN) & (codes_HW != self._code_of_nodata(nodata))
            if self.rule.unknown == "error" and unknown_HW.any():
                raise InputError(self._complain(codes_HW[unknown_HW], where))
            numbers_HW = np.where(numbers_HW == _UNKNOWN, self.ignore, numbers_HW)
        return numbers_HW.astype(self.dtype)

    def unknown(self, stored_CHW: NDArray[Any], *, where: str, nodata: float | None = None) -> dict[str, int]:
        """What no class is stored as, with the number of pixels."""
        codes, counts = np.unique(self.codes(stored_CHW, where), return_counts=True)
        known = {*self.meanings, self._code_of_nodata(nodata)}
        found = zip(codes.tolist(), counts.tolist(), strict=True)
        return {self.name_of(code): count for code, count in found if code not in known}

    def codes(self, stored_CHW: NDArray[Any], where: str) -> NDArray[Any]:
        """One whole number a pixel: the value, its quotient, one channel, or a colour as 0xRRGGBB."""
        bands = len(stored_CHW)
        if self.rule.codec == "palette":
            if bands < 3:
                raise InputError(f"{where} has {bands} band, a mask of colours has 3. Set label: index.")
            red, green, blue = (whole_numbers(stored_CHW[channel], where).astype(np.int64) for channel in range(3))
            return np.asarray((red << 16) | (green << 8) | blue)
        channel = self.rule.channel
        if channel is None and bands != 1:
            raise InputError(
                f"{where} has {bands} bands, a mask of class numbers has 1. "
                "Set label.channel if one of them holds the class, or label: palette if they are colours."
            )
        if channel is not None and channel >= bands:
            raise InputError(f"{where} has {bands} bands, and label.channel asks for band {channel} (counted from 0).")
        plane_HW = whole_numbers(stored_CHW[channel or 0], where)
        if self.rule.divide == 1:
            return plane_HW
        return np.where(plane_HW == ABSENT, ABSENT, plane_HW // self.rule.divide)

    def _code_of_nodata(self, nodata: float | None) -> int:
        if nodata is None or not np.isfinite(nodata) or self.rule.codec == "palette":
            return ABSENT
        return int(nodata) // self.rule.divide

    def name_of(self, code: int) -> str:
        """A code as a person would write it in dataset.yaml."""
        return f"#{code:06x}" if self.rule.codec == "palette" else str(code)

    def _numbers(self, codes_HW: NDArray[Any]) -> NDArray[np.int32]:
        if codes_HW.size == 0:
            return codes_HW.astype(np.int32)
        if codes_HW.dtype.itemsize <= 2:
            is_signed = codes_HW.dtype.kind == "i"
            return self._signed_table[codes_HW.astype(np.int16).view(np.uint16)] if is_signed else self._table[codes_HW]
        distinct, place = np.unique(codes_HW, return_inverse=True)
        numbers = np.array([self.meanings.get(int(code), _UNKNOWN) for code in distinct], np.int32)
        return np.asarray(numbers[place].reshape(codes_HW.shape))

    def _complain(self, codes: NDArray[Any], where: str) -> str:
        names = [self.name_of(int(code)) for code in np.unique(codes)[:6]]
        known = ", ".join(self.name_of(code) for code in list(self.meanings)[:12] if code != ABSENT)
        return (
            f"{where} holds {', '.join(names)} in {codes.size} pixels, which is no class (known: {known}). "
            "Add it to `classes` or `label.ignored`, or set label.unknown: ignore."
        )


def whole_numbers(plane_HW: NDArray[Any], where: str) -> NDArray[Any]:
    """A plane of a mask as integers; a fraction means that this is no mask."""
    if plane_HW.dtype.kind in "iu":
        return plane_HW
    if plane_HW.dtype.kind == "b":
        return plane_HW.astype(np.uint8)
    is_number_HW = np.isfinite(plane_HW)
    rounded_HW = np.where(is_number_HW, plane_HW, 0).astype(np.int64)
    if not np.array_equal(rounded_HW[is_number_HW], plane_HW[is_number_HW]):
        raise InputError(f"{where} holds fractions. A mask holds whole numbers; is this an image?")
    return np.where(is_number_HW, rounded_HW, ABSENT)


def _code(stored: int | Colour | str, rule: LabelSpec) -> int:
    if isinstance(stored, str):
        raise SettingsError(f"stored: {stored!r} is a text, which only polygons have (label: polygons).")
    if isinstance(stored, tuple):
        if rule.codec != "palette":
            raise SettingsError("stored: a colour belongs to label: palette. Give the number in the mask file.")
        return (stored[0] << 16) | (stored[1] << 8) | stored[2]
    if rule.codec == "palette":
        raise SettingsError(f"stored: {stored} is a number, but label: palette has colours such as '#ff0000'.")
    return stored
