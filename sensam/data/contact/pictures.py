"""What a person can look at: false colours with one stretch for a whole data set, and labels laid over them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.labels import LabelHW
from sensam.data.layout import Colour
from sensam.data.raster import Raster
from sensam.data.statistics import BandGatherer
from sensam.sensors import Sensor

PictureHW3 = NDArray[np.float32]  # red, green, blue from 0 to 1
STRETCH = (1.0, 99.0)  # percentiles that become black and white
PAPER = np.array([0.93, 0.93, 0.92], np.float32)  # where there is no data
STRIPE = np.array([0.84, 0.84, 0.83], np.float32)
COVER = 0.62  # how much of a label's colour hides the image
MANY_BANDS = 17
OUTLINE = 0.55  # brightness of a label's edge, beside its inside


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bands shown as red, green and blue, and the values that become black and white in each."""

    bands: tuple[int, int, int]
    low_3: NDArray[np.float64]
    high_3: NDArray[np.float64]

    @classmethod
    def of(cls, sensor: Sensor, gatherers: Sequence[BandGatherer]) -> "Stretch":
        """One stretch for all images, so that dark stays dark from image to image."""
        bands = _shown(sensor)
        ends = np.array([gatherers[band].percentiles(STRETCH) for band in bands])
        ends = np.where(np.isfinite(ends), ends, [0.0, 1.0])
        return cls(bands, ends[:, 0], np.maximum(ends[:, 1], ends[:, 0] + 1e-12))


def _shown(sensor: Sensor) -> tuple[int, int, int]:
    """The sensor's own choice; of many bands of unknown wavelength three that are far apart, neighbours being alike."""
    count = len(sensor.bands)
    if count < MANY_BANDS or sensor.rgb or any(band.wavelength_nm for band in sensor.bands):
        return sensor.display
    return 3 * count // 4, count // 2, count // 4


def false_colour(raster: Raster, stretch: Stretch) -> PictureHW3:
    """A decoded image in false colours; stripes where there is no data."""
    bands = list(stretch.bands)
    shown_HW3 = np.moveaxis(raster.pixels_CHW[bands], 0, -1)
    picture = ((shown_HW3 - stretch.low_3) / (stretch.high_3 - stretch.low_3)).clip(0, 1).astype(np.float32)
    valid_HW = np.asarray(raster.valid_CHW[bands].all(axis=0))
    return np.where(valid_HW[..., None], picture, stripes(*raster.size))


def overlay(picture: PictureHW3, label_HW: LabelHW, colours: Sequence[Colour], ignore: int) -> PictureHW3:
    """Class colours over the image in grey, with darker edges; stripes where nothing is labelled."""
    grey = np.repeat((picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, axis=-1) * 0.85 + 0.1
    palette = np.array(colours, np.float32) / 255
    known_HW = np.asarray(label_HW != ignore)
    colour = palette[np.where(known_HW, label_HW, 0)]
    mixed = COVER * colour + (1 - COVER) * grey
    mixed = np.where(edges(label_HW)[..., None], OUTLINE * colour, mixed)
    return np.where(known_HW[..., None], mixed, stripes(*label_HW.shape)).astype(np.float32)


def edges(label_HW: LabelHW) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is another class."""
    edge_HW = np.zeros(label_HW.shape, bool)
    edge_HW[:, :-1] |= label_HW[:, 1:] != label_HW[:, :-1]
    edge_HW[:-1] |= label_HW[1:] != label_HW[:-1]
    return edge_HW


def stripes(rows: int, columns: int) -> PictureHW3:
    """A pattern that no image has, for what is not there."""
    width = max(3, max(rows, columns) // 40)
    row, column = np.mgrid[:rows, :columns]
    is_light_HW1 = np.equal((row + column) // width % 2, 0).reshape(rows, columns, 1)
    return np.where(is_light_HW1, PAPER, STRIPE)
