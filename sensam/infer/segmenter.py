"""A trained network with what its numbers mean: the one thing that maps, exports and evaluations take."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from sensam.data.layout import Colour
from sensam.data.stream import Fit
from sensam.errors import WeightsError
from sensam.radiometry import RadiometryContract
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
    resolution: float | None = None  # metres of ground that a pixel covered when it was trained
    knows_classes: bool = True  # or what tells them apart is still random
    fit: Fit = "crop"  # or trained on whole images stretched to the size

    def logits(self, image_BCHW: Tensor) -> Tensor:
        """Class logits at the size of the input."""
        self._refuse_random()
        return self.network(image_BCHW)

    @property
    def fingerprint(self) -> str:
        """The same for the same weights, sensor and classes, wherever and whenever it is computed."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr((self.classes, RadiometryContract(self.sensor).fingerprint)).encode())
        for name, weight in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def check_weights(self) -> None:
        """An error where a weight is random, NaN or infinite: every pixel of the map would be wrong."""
        self._refuse_random()
        for name, weight in self.network.state_dict().items():
            if weight.is_floating_point() and not weight.isfinite().all():
                raise WeightsError(
                    f"{name} of {self.name} holds NaN or infinite numbers. Train it again, or load another."
                )

    def _refuse_random(self) -> None:
        if not self.knows_classes:
            raise WeightsError(
                f"This {self.name} has not learnt classes yet, so it cannot draw maps. Teach it: sensam train DATA "
                f"--method {self.name} --set begin_from=FOLDER."
            )


def unstretched(logits_BKHW: Tensor, size: tuple[int, ...]) -> Tensor:
    """Logits of stretched images at the rows and columns that these had before."""
    return interpolate(logits_BKHW, size, mode="bilinear", align_corners=False)
