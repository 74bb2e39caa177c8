"""Random changes that keep a sample true: geometry moves image, mask and validity as one, light stays physical."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensam.sensors import Geometry


class Augment(BaseModel):
    """What may change. Light is in units of a band's standard deviation, so it fits decibels, kelvin and counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flip_rows: bool = False  # upside down
    flip_columns: bool = False  # mirrored
    turn: bool = False  # by quarters
    roll: bool = False  # around the horizon of a panorama, where the two edges are neighbours
    scale: tuple[float, float] = (1.0, 1.0)  # smallest and largest magnification
    gain: float = Field(default=0.0, ge=0, lt=1)  # contrast about the mean, drawn in 1 ± gain
    offset: float = Field(default=0.0, ge=0)  # brightness of each band
    noise: float = Field(default=0.0, ge=0)  # of each pixel

    @model_validator(mode="after")
    def _scale_rises(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is the smallest and the largest magnification, found {list(self.scale)}")
        return self

    @classmethod
    def for_geometry(cls, geometry: Geometry) -> "Augment":
        """What leaves such an image plausible: any pose from above, upright only mirrored, all around rolled too."""
        if geometry == "nadir":
            return cls(flip_rows=True, flip_columns=True, turn=True)
        return cls(flip_columns=True, roll=geometry == "equirectangular")

    def draw_pose(self, rng: np.random.Generator) -> "Pose":
        """One geometry. Every number is drawn every time, so that one setting does not change another's luck."""
        rows, columns, turn, shift, exponent = rng.random(5).tolist()
        low, high = self.scale
        return Pose(
            rows < 0.5 and self.flip_rows,
            columns < 0.5 and self.flip_columns,
            int(4 * turn) if self.turn else 0,
            shift if self.roll else 0.0,
            low * (high / low) ** exponent,
        )

    @property
    def has_light(self) -> bool:
        """Whether illumination or noise changes at all."""
        return max(self.gain, self.offset, self.noise) > 0

    def draw_light(self, rng: np.random.Generator, bands: int) -> "Light":
        """One illumination: a gain for all bands and an offset for each, in standard deviations."""
        gain = 1 + self.gain * float(rng.uniform(-1, 1))
        offset_C = self.offset * rng.uniform(-1, 1, bands)
        return Light(gain, offset_C, self.noise)


@dataclass(frozen=True, slots=True)
class Light:
    """normalised value -> gain * value + offset + noise."""

    gain: float
    offset_C: NDArray[np.float64]
    noise: float

    @property
    def is_neutral(self) -> bool:
        return self.gain == 1 and self.noise == 0 and not self.offset_C.any()


@dataclass(frozen=True, slots=True)
class Pose:
    """One geometry, applied alike to anything whose last two axes are rows and columns."""

    flip_rows: bool = False
    flip_columns: bool = False
    quarters: int = 0
    shift: float = 0.0  # part of the width
    magnification: float = 1.0

    def enlarging(self) -> "Pose":
        """Without making anything smaller."""
        return replace(self, magnification=max(1.0, self.magnification))

    def unrolled(self) -> "Pose":
        """Without the roll, for a window that does not go all the way around."""
        return replace(self, shift=0.0) if self.shift else self

    @property
    def is_neutral(self) -> bool:
        """Whether every pixel stays where it is."""
        return not (self.flip_rows or self.flip_columns or self.quarters or self.shift)

    def place(self, array: NDArray[Any]) -> NDArray[Any]:
        """Move pixels without changing any: roll, turn, mirror."""
        if self.shift:
            array = np.roll(array, int(self.shift * array.shape[-1]), axis=-1)
        if self.quarters:
            array = np.rot90(array, self.quarters, axes=(-2, -1))
        if self.flip_rows:
            array = array[..., ::-1, :]
        if self.flip_columns:
            array = array[..., ::-1]
        return array
