"""Data sets whose samples are computed as they are read: polarizers to Stokes, an image to its own range."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from sensam.data.dataset import Dataset
from sensam.data.encodings import Angle, encode_polarization, stokes
from sensam.data.layout import DatasetSpec
from sensam.data.pairing import Item, Pairing
from sensam.data.raster import Raster, Window
from sensam.errors import unknown
from sensam.sensors import Sensor

Whole = Callable[[], Raster]  # all of the image that a window belongs to
Encode = Callable[[Raster, Whole], Raster]
Scaling = Literal["fixed", "own range", "own percentiles"]
PERCENTILES = (2.0, 98.0)


class EncodedDataset(Dataset):
    """`sensor` is what `encode` makes of a stored window. It acts before anything is resized or turned."""

    encodes = True

    def __init__(self, spec: DatasetSpec, sensor: Sensor, encode: Encode, pairing: Pairing | None = None) -> None:
        super().__init__(spec, pairing)
        self.sensor, self.encode = sensor, encode

    def read(self, item: Item, window: Window | None = None) -> Raster:
        """The encoded window, in the order of the sensor's bands."""
        encoded = self.encode(super().read(item, window), partial(super().read, item, None))
        places = [encoded.bands.index(name) for name in self.sensor.band_names]
        return replace(
            encoded,
            pixels_CHW=encoded.pixels_CHW[places],
            valid_CHW=encoded.valid_CHW[places],
            bands=self.sensor.band_names,
            scaling=(),
            is_decoded=False,
        )


def stretch_to_own_range(
    names: Collection[str], raster: Raster, whole: Whole, *, between: tuple[float, float] = (0, 100)
) -> Raster:
    """The named bands between 0 and 1, from the lowest to the highest valid number of the whole image.

    As many published loaders do; heat and distance then mean something else in every image. A constant band is 0, and
    what is not valid takes no part. `between` takes percentiles for the ends, and cuts what lies beyond them.
    """
    pixels_CHW = raster.pixels_CHW.copy()
    image = whole()
    for place, name in enumerate(raster.bands):
        if name not in names:
            continue
        valid_HW = raster.valid_CHW[place] & np.isfinite(raster.pixels_CHW[place])
        numbers = image.pixels_CHW[place][image.valid_CHW[place] & np.isfinite(image.pixels_CHW[place])]
        low, high = (float(end) for end in np.percentile(numbers, between)) if numbers.size else (0.0, 0.0)
        scaled_HW = (np.where(valid_HW, raster.pixels_CHW[place], low) - low) / ((high - low) or 1.0)
        pixels_CHW[place] = scaled_HW.clip(0, 1).astype(np.float32)
    return replace(raster, pixels_CHW=pixels_CHW)


def scaled_band(scaling: Scaling, published: tuple[float, float]) -> dict[str, Any]:
    """What a sensor says of a band scaled so. Its unit travels with a model, which then takes no other scaling."""
    if scaling not in get_args(Scaling):
        raise unknown("scaling", scaling, get_args(Scaling))
    if scaling == "fixed":
        return {}
    known = {"mean": published[0], "std": published[1]} if scaling == "own range" else {}
    return {"unit": scaling, "valid_range": (0.0, 1.0), **known}


def scale_by(scaling: Scaling, names: Collection[str]) -> Encode:
    """The encoding for a scaling by an image's own numbers."""
    return partial(stretch_to_own_range, names, between=PERCENTILES if scaling == "own percentiles" else (0, 100))


def leave_out(value: float, names: Collection[str], encode: Encode, raster: Raster, whole: Whole) -> Raster:
    """Encode without the pixels that hold this number, which means that nothing was measured."""

    def marked(image: Raster) -> Raster:
        named_C = np.array([name in names for name in image.bands])[:, None, None]
        return replace(image, valid_CHW=image.valid_CHW & ~(named_C & (image.pixels_CHW == value)))

    return encode(marked(raster), lambda: marked(whole()))


def polarizers_to_stokes(raster: Raster, _: Whole) -> Raster:
    """Stokes parameters, which may be resized and interpolated."""
    return stokes(raster)


def polarizers_to_angles(angle: Angle, raster: Raster, _: Whole) -> Raster:
    """Intensity, degree and angle of polarization."""
    return encode_polarization(stokes(raster), angle)
