"""One window on its way to a batch, and what augmentation does to it: pixels, validity and label move as one."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.augment import Light, Pose
from sensam.data.feed import Feed, Portion
from sensam.data.labels import LabelHW
from sensam.data.pairing import Item
from sensam.data.raster import Window
from sensam.data.resample import resample_both, resample_nearest
from sensam.sensors import Sensor
from sensam.types import RANDOM_VIEW

FloatC = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """normalised = clip(stored * gain + bias, low, high), and 0 where not valid."""

    key: str
    stored_CHW: NDArray[Any]
    valid_CHW: NDArray[np.bool_] | None  # None where everything is valid
    label_HW: LabelHW | None  # the ignore value where any band is not valid
    gain_C: FloatC
    bias_C: FloatC
    low_C: FloatC
    high_C: FloatC
    view: str = RANDOM_VIEW  # of the image that `key` names

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.stored_CHW.shape[1], self.stored_CHW.shape[2]

    def shows_something(self, ignore: int) -> bool:
        """Whether there is a pixel to learn from. Nearly always the first row has one, and no other need be read."""
        if self.label_HW is not None and (self.label_HW[0] != ignore).any():
            return True
        return bool(self.shown_HW(ignore).any())

    def shown_HW(self, ignore: int) -> NDArray[np.bool_]:
        """Pixels from which to learn: labelled where there are labels, valid in every band where not."""
        if self.label_HW is not None:
            return np.asarray(self.label_HW != ignore)
        return np.ones(self.size, bool) if self.valid_CHW is None else np.asarray(self.valid_CHW.all(axis=0))


def read_sample(feed: Feed, item: Item, window: Window, *, labels: bool) -> Sample:
    """One window as it is on disk."""
    label_HW = feed.dataset.read_label(item, window) if labels else None
    return assemble_sample(item.key, feed.portion(item, window), label_HW, feed.dataset.ignore)


def assemble_sample(key: str, portion: Portion, label_HW: LabelHW | None, ignore: int) -> Sample:
    """A sample as read, before anything is changed."""
    if label_HW is not None and portion.valid_CHW is not None:
        label_HW = np.where(portion.valid_CHW.all(axis=0), label_HW, label_HW.dtype.type(ignore))
    endless = _no_limits(len(portion.gain_C))
    return Sample(key, portion.stored_CHW, portion.valid_CHW, label_HW, portion.gain_C, portion.bias_C, *endless)


@lru_cache
def _no_limits(bands: int) -> tuple[FloatC, FloatC]:
    return np.full(bands, -np.inf, np.float32), np.full(bands, np.inf, np.float32)


def resized(sample: Sample, rows: int, columns: int) -> Sample:
    """Another size: linear for pixels, nearest for validity and labels, on the same grid."""
    if sample.size == (rows, columns):
        return sample
    stored_CHW, valid_CHW = resample_both(sample.stored_CHW, sample.valid_CHW, rows, columns)
    return replace(
        sample,
        stored_CHW=stored_CHW,
        valid_CHW=valid_CHW,
        label_HW=None if sample.label_HW is None else resample_nearest(sample.label_HW, rows, columns),
    )


def posed(sample: Sample, pose: Pose) -> Sample:
    """Rolled, turned and mirrored; no value changes."""
    if pose.is_neutral:
        return sample
    return replace(
        sample,
        stored_CHW=pose.place(sample.stored_CHW),
        valid_CHW=None if sample.valid_CHW is None else pose.place(sample.valid_CHW),
        label_HW=None if sample.label_HW is None else pose.place(sample.label_HW),
    )


def lit(sample: Sample, light: Light, sensor: Sensor, random: np.random.Generator) -> Sample:
    """Under another light. The line from stored to normalised changes; pixels do only where there is noise."""
    if light.is_neutral:
        return sample
    gain_C = sample.gain_C * np.float32(light.gain)
    bias_C = sample.bias_C * np.float32(light.gain) + light.offset_C.astype(np.float32)
    stored_CHW = sample.stored_CHW
    if light.noise:
        noise_CHW = random.standard_normal(stored_CHW.shape, np.float32) * np.float32(light.noise)
        stored_CHW = stored_CHW + noise_CHW / gain_C[:, None, None]
    low_C, high_C = _limits(sensor)
    return replace(sample, stored_CHW=stored_CHW, gain_C=gain_C, bias_C=bias_C, low_C=low_C, high_C=high_C)


def _limits(sensor: Sensor) -> tuple[FloatC, FloatC]:
    """The physically valid range of every band, normalised."""
    mean_C, std_C = sensor.statistics
    ranges_C2 = np.array([band.valid_range or (-np.inf, np.inf) for band in sensor.bands], np.float32)
    return (ranges_C2[:, 0] - mean_C) / std_C, (ranges_C2[:, 1] - mean_C) / std_C
