"""A small world of blobs with exact labels and instances, an assistant with planted errors, and a tiny SAM."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from sensam.methods.base import Task
from sensam.methods.goodsam.fusion import FusionReport, fuse_windows
from sensam.methods.goodsam.settings import FusionSettings, GoodSamConfig
from sensam.sam.model import Sam
from sensam.sam.regions import Regions, bounding_box, encode_runs
from sensam.sensors import Sensor
from tests.tiny_sam import TINY

CLASSES = ("road", "building", "tree", "car", "pole")
POLE = 4
SIZE = (48, 192)


@dataclass(frozen=True)
class World:
    """One panorama: five planes whose largest is the class, with noise, its labels, and its things by number."""

    image_CHW: Tensor
    label_HW: NDArray[np.int64]
    instance_HW: NDArray[np.int64]


def make_world(seed: int, size: tuple[int, int] = SIZE, noise: float = 0.35) -> World:
    """Boxes of classes upon each other, around the seam as well; a pole is four columns wide."""
    dice = np.random.default_rng([7, seed])
    height, width = size
    label_HW = np.zeros(size, np.int64)
    instance_HW = np.zeros(size, np.int64)
    for number in range(1, 15):
        kind = int(dice.choice([1, 1, 2, 2, 3, 4]))
        tall, wide = int(dice.integers(10, 26)), 4 if kind == POLE else int(dice.integers(12, 30))
        top, left = int(dice.integers(0, height - tall)), int(dice.integers(0, width))
        columns = (left + np.arange(wide)) % width
        label_HW[top : top + tall, columns] = kind
        instance_HW[top : top + tall, columns] = number
    clean_KHW = F.one_hot(torch.from_numpy(label_HW), len(CLASSES)).permute(2, 0, 1).float()
    image_CHW = clean_KHW + noise * torch.from_numpy(dice.standard_normal(clean_KHW.shape).astype(np.float32))
    return World(image_CHW, label_HW, instance_HW)


def to_regions(masks_NHW: NDArray[np.bool_], scores: float = 1.0) -> Regions:
    """Plain masks as SAM would give them."""
    size = (masks_NHW.shape[1], masks_NHW.shape[2])
    ones = np.full(len(masks_NHW), scores, np.float32)
    boxes_N4 = np.array([bounding_box(mask) for mask in masks_NHW], np.int64).reshape(-1, 4)
    return Regions(size, tuple(map(encode_runs, masks_NHW)), boxes_N4, ones, ones, np.zeros((len(ones), 2), np.float32))


def simulate_masks(instance_HW: NDArray[np.int64], seed: int, *, drop: float = 0.0, split: float = 0.0) -> Regions:
    """The connected parts of every thing, some left out, some cut in two, as a good SAM would see them."""
    dice = np.random.default_rng([11, seed])
    found = []
    for number in np.unique(instance_HW):
        parts, count = ndimage.label(instance_HW == number)
        for part in range(1, count + 1):
            mask = parts == part
            if dice.random() < drop:
                continue
            if dice.random() < split:
                middle = int(np.median(np.nonzero(mask)[1]))
                left = mask.copy()
                left[:, middle:] = False
                found += [left, mask & ~left]
            else:
                found.append(mask)
    return to_regions(np.stack([mask for mask in found if mask.any()] or [np.zeros(instance_HW.shape, bool)]))


def fuse(
    prob_CHW: NDArray[np.float32],
    masks: Regions,
    thin_C: NDArray[np.bool_],
    settings: FusionSettings,
    area_HW: NDArray[np.float64],
) -> tuple[NDArray[np.float32], FusionReport]:
    """The ensemble of an image that is one window, and what became of its masks."""
    (fused,), report = fuse_windows([prob_CHW], [masks], thin_C, settings, [area_HW])
    return fused, report


class Blurred(nn.Module):
    """An assistant that sees everything blurred and `shift` columns aside: right inside, wrong at boundaries.

    Its one parameter for each class is enough to forget a class altogether.
    """

    def __init__(self, reach: int = 5, shift: int = 2, gain: float = 6.0) -> None:
        super().__init__()
        self.reach, self.shift, self.gain = reach, shift, gain
        self.bias_K = nn.Parameter(torch.zeros(len(CLASSES)))
        self.mix = nn.Conv2d(len(CLASSES), len(CLASSES), 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(torch.eye(len(CLASSES))[..., None, None])

    def forward(self, image_BCHW: Tensor) -> Tensor:
        half = self.reach // 2
        padded = F.pad(image_BCHW, (half + self.shift, half - self.shift, half, half), mode="replicate")
        seen = F.avg_pool2d(padded, self.reach, 1)
        return self.gain * self.mix(seen) + self.bias_K[:, None, None]


def miou(found_HW: NDArray[np.int64], truth_HW: NDArray[np.int64]) -> float:
    """Per cent, over the classes that are there."""
    scores = [
        ((found_HW == kind) & (truth_HW == kind)).sum() / ((found_HW == kind) | (truth_HW == kind)).sum()
        for kind in np.unique(truth_HW)
    ]
    return 100 * float(np.mean(scores))


def near_boundary(label_HW: NDArray[np.int64], reach: int = 3) -> NDArray[np.bool_]:
    """Pixels within `reach` of another class."""
    edge = np.zeros(label_HW.shape, bool)
    edge[:, :-1] |= label_HW[:, :-1] != label_HW[:, 1:]
    edge[:-1] |= label_HW[:-1] != label_HW[1:]
    return np.asarray(ndimage.binary_dilation(edge, iterations=reach))


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A task with a tiny SAM, for panoramas unless another geometry is asked for."""

    def make(bands: int = len(CLASSES), classes: tuple[str, ...] = CLASSES, geometry: str = "equirectangular") -> Task:
        sam = Sam(replace(TINY)).eval()
        planes = [{"name": f"b{number}", "mean": 0.0, "std": 1.0} for number in range(bands)]
        angle = {"fov_deg": 180.0} if geometry == "fisheye" else {}
        sensor = Sensor.from_dict({"name": f"made-{bands}", "geometry": geometry, **angle, "bands": planes})
        return Task(sensor, classes, sam, size=32)

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., GoodSamConfig]:
    """Small settings with a cache of the test's own; SAM keeps whatever it finds in a few clicks."""

    def make(**changes: object) -> GoodSamConfig:
        settings: dict[str, object] = {
            "cache": str(tmp_path / "cache"),
            "student_head": 16,
            "assistant_size": "b0",
            "windows": {"columns": 4},
            "masks": {"points_per_side": 3, "min_iou": 0.0, "min_stability": 0.0},
            "thin": ("pole",),
        }
        return GoodSamConfig.model_validate({**settings, **changes})

    return make
