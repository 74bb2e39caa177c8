"""One street through two lenses: what the student would be taught hardly depends on the lens."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from sensam.data.camera import Camera, Equirectangular, Fisheye
from sensam.data.synthetic.street import CLASSES, Street, build_street
from sensam.data.synthetic.view import look
from sensam.methods.base import Task
from sensam.methods.goodsam import knowledge
from sensam.methods.goodsam.method import GoodSam
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.sam.model import Sam
from sensam.sam.regions import Regions
from sensam.sensors import Sensor
from tests.methods.goodsam.conftest import to_regions
from tests.tiny_sam import TINY

NAMES = tuple(kind.name for kind in CLASSES)
SIDE = 96
GNOMONIC = {"kind": "gnomonic"}
LEAST = 3  # pixels of a mask


class Upright(nn.Module):
    """Guesses classes from noisy planes by looking up and down: good where what stands upright is upright."""

    bands = len(NAMES) + 3

    def forward(self, image_BCHW: Tensor) -> Tensor:
        padded = F.pad(image_BCHW[:, : len(NAMES)], (0, 0, 7, 7), mode="replicate")
        return 6 * F.avg_pool2d(padded, (15, 1), 1)


def photograph(street: Street, camera: Camera, colours: NDArray[np.float32], seed: int) -> Tensor:
    """A plane for each class with this camera's noise, and a colour for each thing: SAM is shown the colours."""
    view = look(street, camera)
    label_HW = view.label_HW.astype(np.int64)
    thing_HW = np.where(view.solid_HW >= 0, view.solid_HW + len(NAMES), label_HW)
    planes = np.eye(len(NAMES))[label_HW] + np.random.default_rng(seed).standard_normal((*camera.size, len(NAMES)))
    return torch.from_numpy(np.concatenate([planes, colours[thing_HW]], -1).transpose(2, 0, 1).astype(np.float32))


def true_masks(colours: NDArray[np.float32]) -> Callable[..., Regions]:
    """What a SAM without fault finds: the connected parts of every thing in a view."""

    def generate(_: Sam, image_CHW: Tensor, _settings: object, *, valid_HW: NDArray[np.bool_]) -> Regions:
        apart = ((image_CHW.numpy().transpose(1, 2, 0)[:, :, None] - colours) ** 2).sum(-1)
        thing_HW = np.where(valid_HW, apart.argmin(-1), -1)
        found = [np.zeros((0, *valid_HW.shape), bool)]
        for number in np.unique(thing_HW[valid_HW]):
            parts_HW, count = ndimage.label(thing_HW == number)
            found.append(parts_HW == np.arange(1, count + 1)[:, None, None])
        masks = np.concatenate(found)
        return to_regions(masks[masks.sum((1, 2)) >= LEAST])

    return generate


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fisheye_and_a_panorama_of_one_street_agree(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = build_street(np.random.default_rng(seed))
    eye = (0.0, street.plan.lane_y, 1.7)
    around, fish = Equirectangular((SIDE, 2 * SIDE), eye), Fisheye((SIDE, SIDE), eye, 180, yaw=0.7)
    count = len(NAMES) + len(street.solids.part_N)
    colours = np.random.default_rng(5).uniform(-3, 3, (count, 3)).astype(np.float32)
    images = [photograph(street, camera, colours, 10 * seed + place) for place, camera in enumerate((around, fish))]
    seen_HW = fish.circle()
    row, column = around.project(fish.rays())
    place = np.clip(np.rint(row), 0, SIDE - 1).astype(int), np.rint(column).astype(int) % (2 * SIDE)
    monkeypatch.setattr(knowledge, "generate", true_masks(colours))

    def ensemble(image_CHW: Tensor, geometry: dict[str, object], windows: dict[str, object], strength: float) -> Tensor:
        planes = [{"name": f"b{number}", "mean": 0.0, "std": 1.0} for number in range(Upright.bands)]
        rgb = [plane["name"] for plane in planes[-3:]]
        sensor = Sensor.from_dict({"name": "made", "bands": planes, "rgb": rgb, **geometry})
        config = GoodSamConfig.model_validate(
            {
                "cache": str(tmp_path),
                "assistant": "given:elsewhere",
                "windows": windows,
                "rectify": {"consistency": 0, "boundary": 0},
                "fusion": {"strength": strength},
                "distil": {"features": 0},
            }
        )
        method = GoodSam(Task(sensor, NAMES, Sam(TINY).eval(), size=32), config, assistant=Upright()).eval()
        valid_HW = torch.from_numpy(seen_HW) if "fov_deg" in geometry else None
        return method.ensemble(image_CHW, valid_HW).prob_KHW.argmax(0)

    def agreement(windows: dict[str, object], strength: float) -> float:
        round_HW = ensemble(images[0], {"geometry": "equirectangular"}, windows, strength)
        fish_HW = ensemble(images[1], {"geometry": "fisheye", "fov_deg": 180}, windows, strength)
        return float((round_HW[place] == fish_HW).numpy()[seen_HW].mean())

    fused, alone, cropped = agreement(GNOMONIC, 0.9), agreement(GNOMONIC, 0.0), agreement({}, 0.0)
    assert fused >= 0.9
    assert fused >= alone + 0.02, "masks help both lenses to the same answer"
    assert alone >= cropped + 0.05, "views undo what the lenses do; crops of both images do not"
    assert cropped < 0.85, "so that the agreement is not for free"
