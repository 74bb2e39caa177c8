"""A trained network with what its numbers mean: the one thing that maps, exports and evaluations take."""

from dataclasses import dataclass

from torch import Tensor, nn

from sensam.data.layout import Colour
from sensam.sensors import Sensor


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Normalised pixels to class logits, and the sensor, classes and tile size that belong to it."""

    network: nn.Module  # B x C x H x W normalised -> logits B x K x H x W
    sensor: Sensor
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    size: int  # pixels on a side of the windows that it was trained on
    ignore: int = 255
    name: str = "model"
    takes_missing_bands: bool = False  # trained with band dropout: a band may be all zeros

    def logits(self, image_BCHW: Tensor) -> Tensor:
        """Class logits at the size of the input."""
        return self.network(image_BCHW)
