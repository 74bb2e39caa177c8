"""Radar in a data set: what its files measure, and as what a model sees it; one explicit rule for all of its images."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from sensam.data.encodings import IMAG, REAL, Measured, Shown, stretch
from sensam.data.raster import Raster, RasterInfo
from sensam.errors import InputError


class Stretch(BaseModel):
    """Amplitude, intensity or decibel of what was measured; with `limits`, clipped to them and scaled to 0..1.

    The rule belongs to the data set and never looks at an image: the same number means the same in training, in the
    test, and in every tile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    measured: Measured = "amplitude"
    shown: Shown = "amplitude"
    limits: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.measured == self.shown and self.limits is None:
            raise ValueError(f"{self.shown} shown as it was measured needs limits, or no stretch at all")
        if self.limits is not None and self.limits[0] >= self.limits[1]:
            raise ValueError(f"limits must rise, found {list(self.limits)}")
        return self

    def apply(self, raster: Raster) -> Raster:
        """Stored numbers as the model sees them. What has no logarithm is not valid in decibel."""
        seen = stretch(raster, self.measured, self.shown, self.limits)
        return replace(seen, scaling=(None,) * len(seen.bands))

    def planes(self, bands: Iterable[str]) -> tuple[str, ...]:
        """The planes of a file that make these bands: two for a complex one."""
        if self.measured != "complex":
            return tuple(bands)
        return tuple(f"{band}{part}" for band in bands for part in (REAL, IMAG))

    def describe(self, info: RasterInfo) -> RasterInfo:
        """What a file holds once it is stretched, in floating point and without a nodata value of its own."""
        kept = [place for place, band in enumerate(info.bands) if self.measured != "complex" or band.endswith(REAL)]
        if not kept:
            raise InputError(f"{info.name} holds no complex numbers. Correct stretch.measured.")
        unit = "dB" if self.shown == "db" and self.limits is None else ""
        return replace(
            info,
            bands=tuple(info.bands[place].removesuffix(REAL) for place in kept),
            dtypes=("float32",) * len(kept),
            wavelengths_nm=tuple(info.wavelengths_nm[place] for place in kept),
            nodata=(None,) * len(kept),
            descriptions=tuple(info.descriptions[place] for place in kept),
            units=(unit,) * len(kept),
            scaling=(None,) * len(kept),
        )
