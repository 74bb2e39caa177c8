"""What nano is asked: batches of scenes with regions, a click in each and a loose box around it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sensam.sam.framing import PHOTO_MEAN, PHOTO_STD
from sensam.sam.nano.scenes import NanoScene, make_scene

# The first lessons are small pictures, four times as many for the same work: what a surface and an edge are is learnt
# there. Later ones are mostly of the trained size, sometimes of others, so that nano serves any size.
_SMALL = {(64, 64): 0.7, (96, 64): 0.1, (64, 96): 0.1, (96, 96): 0.1}
_LARGE = {(128, 128): 0.6, (96, 96): 0.1, (128, 192): 0.07, (192, 128): 0.07, (160, 160): 0.08, (192, 192): 0.08}


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step's batch. The N regions belong to the B images in order, N / B each."""

    image_B3HW: Tensor
    target_NHW: Tensor
    click_N2: Tensor
    box_N4: Tensor
    part_BHW: Tensor  # which smallest part each pixel belongs to


class Lessons(Dataset[Lesson]):
    """Lesson `step` as a pure function of (seed, step), so that a resumed run sees what it would have seen."""

    def __init__(self, seed: int, batch: int, regions: int, small_steps: int, steps: int) -> None:
        self.seed, self.batch, self.regions, self.small_steps, self.steps = seed, batch, regions, small_steps, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Lesson:
        rng = default_rng((self.seed, step))
        chances = _SMALL if step < self.small_steps else _LARGE
        size = list(chances)[rng.choice(len(chances), p=list(chances.values()))]
        count = max(1, round(self.batch * 128 * 128 / (size[0] * size[1])))
        images, targets, clicks, boxes, parts = [], [], [], [], []
        for row in range(count):
            # Drawing a scene costs as much as learning from it: each is used twice, the second time transformed.
            scene = make_scene(self.seed, step * 4 * self.batch + row // 2, size)
            if row % 2:
                scene = transform(rng, scene)
            area = scene.regions_NHW.sum((1, 2))
            chance = area**0.3 / (area**0.3).sum()
            for pick in rng.choice(len(area), self.regions, p=chance):
                mask = scene.regions_NHW[pick]
                targets.append(mask)
                clicks.append(click_inside(rng, mask))
                boxes.append(loose_box(rng, mask))
            images.append(scene.image_HW3)
            parts.append(scene.parts_HW)
        return Lesson(
            standardise(np.stack(images)),
            torch.from_numpy(np.stack(targets)),
            torch.from_numpy(np.stack(clicks)),
            torch.from_numpy(np.stack(boxes)),
            torch.from_numpy(np.stack(parts)),
        )


def transform(rng: Generator, scene: NanoScene) -> NanoScene:
    """The scene mirrored or turned upside down, in other colours."""
    rows, columns = (slice(None, None, int(step)) for step in rng.choice((-1, 1), 2))
    image = scene.image_HW3[rows, columns][..., rng.permutation(3)]
    if rng.uniform() < 0.3:
        image = 255 - image
    return NanoScene(
        np.ascontiguousarray(image),
        np.ascontiguousarray(scene.regions_NHW[:, rows, columns]),
        np.ascontiguousarray(scene.parts_HW[rows, columns]),
    )


def standardise(image_BHW3: NDArray[np.uint8]) -> Tensor:
    """8-bit RGB as SAM wants it."""
    pixels = torch.from_numpy(image_BHW3).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PHOTO_MEAN, PHOTO_STD))
    return (pixels - mean) / std


def click_inside(rng: Generator, mask_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Any pixel of the region, as x and y."""
    rows, columns = np.nonzero(mask_HW)
    pick = rng.integers(len(rows))
    return np.array([columns[pick], rows[pick]], np.float32)


def loose_box(rng: Generator, mask_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The region's box, each side moved by up to a tenth of its length, as a hand would draw it."""
    rows, columns = np.nonzero(mask_HW.any(1))[0], np.nonzero(mask_HW.any(0))[0]
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)
    reach = np.tile(box[2:] - box[:2], 2)
    loose = box + rng.normal(0, 0.1, 4).clip(-0.2, 0.2) * reach
    limit = np.tile(np.array(mask_HW.shape[::-1], np.float32) - 1, 2)
    return loose.clip(0, limit).astype(np.float32)
