"""Small scenes, small models and maps of them, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from torch import Tensor, nn

from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.scene import open_quietly
from sensam.infer.segmenter import Segmenter
from sensam.infer.voting import Predict, Vote
from sensam.sensors import Sensor

BANDS = ("B02", "B03", "B04")
CLASSES = ("water", "field", "wood", "town")
COLOURS = ((0, 0, 255), (255, 255, 0), (0, 128, 0), (255, 0, 0))
MEAN, STD = 500.0, 250.0


def sensor(geometry: str = "nadir", bands: Sequence[str] = BANDS) -> Sensor:
    return Sensor.from_dict(
        {
            "name": "toy",
            "geometry": geometry,
            "bands": list(bands),
            "every_band": {"mean": MEAN, "std": STD, "unit": "DN"},
        }
    )


def network(kernel: int = 1, bands: int = 3, seed: int = 0) -> nn.Module:
    """Random, sees `kernel` pixels around."""
    torch.manual_seed(seed)
    layer = nn.Conv2d(bands, len(CLASSES), kernel, padding=kernel // 2)
    with torch.no_grad():
        layer.weight.mul_(3)
    return layer.eval()


def segmenter(net: nn.Module | None = None, size: int = 32, **facts: Any) -> Segmenter:
    facts.setdefault("sensor", sensor())
    return Segmenter(net or network(), classes=CLASSES, colours=COLOURS, size=size, **facts)


class Failing(nn.Module):
    """Answers so many calls, then fails as a machine does."""

    def __init__(self, net: nn.Module, calls: int) -> None:
        super().__init__()
        self.net, self.left, self.seen = net, calls, 0

    def forward(self, image: Tensor) -> Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.seen += 1
        return self.net(image)


def ground(height: int, width: int, bands: int = 3, seed: int = 0, patch: int = 9) -> NDArray[np.uint16]:
    """Patches of one value, 1 to 999."""
    random = np.random.default_rng(seed)
    coarse = random.integers(1, 1000, (bands, height // patch + 1, width // patch + 1))
    return np.kron(coarse, np.ones((patch, patch), int))[:, :height, :width].astype(np.uint16)


def place(x: float, y: float, pixel: float) -> Affine:
    """North up, from the upper left corner."""
    return Affine(pixel, 0, x, 0, -pixel, y)


def write_scene(path: Path, pixels: NDArray[Any], names: Sequence[str] | None = BANDS, **profile: Any) -> Path:
    facts = {
        "driver": "GTiff",
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "count": len(pixels),
        "dtype": pixels.dtype.name,
        "nodata": 0,
        "crs": "EPSG:32632",
        "transform": place(500_000, 5_000_000, 10),
    }
    facts |= profile
    path.parent.mkdir(parents=True, exist_ok=True)
    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(path, "w", **{key: value for key, value in facts.items() if value is not None})
    with file:
        file.write(pixels)
        for index, name in enumerate(names or (), start=1):
            file.set_band_description(index, name)
    return path


def make_map(
    model: Segmenter, scene: Path | str, out: Path, predict: Predict | None = None, **settings: Any
) -> tuple[Path, ...]:
    job = SceneJob(
        model, model.fingerprint, str(scene), Target.of(str(scene), out, alone=True), MapSettings(**settings)
    )
    return job.complete(job.run(predict or Vote([model], device="cpu")))


def direct(model: Segmenter, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities of the whole scene at once."""
    image = (torch.from_numpy(pixels.astype(np.float32)) - MEAN) / STD
    with torch.no_grad():
        return model.logits(image[None]).softmax(1)[0].numpy()


def read(path: Path) -> NDArray[Any]:
    with open_quietly(str(path)) as file:
        return file.read()
