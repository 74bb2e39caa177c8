"""What nano learns from: batches of scenes with regions, a click in each and a loose box around it."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor
from torch.utils.data import Dataset

from sensam.sam.framing import PHOTO_MEAN, PHOTO_STD
from sensam.sam.nano.questions import box_around, click_inside, join_neighbours
from sensam.sam.nano.scenes import NanoScene, make_scene

Size = tuple[int, int]
Asked = tuple[int, int, int]  # regions of an image asked by a click, by a box, and in another way


@dataclass(frozen=True, slots=True)
class Course:
    """Lessons from step `start` on: how often a scene is drawn at one size and shown at another, and used again."""

    start: int
    chances: dict[tuple[Size, Size], float]
    asked: Asked
    uses: int = 1  # of each scene, all but the first transformed: drawing may cost more than learning from it
    careful: float = 0.0  # chance of a click well inside and of a tight box, instead of any pixel and a loose box
    joined: float = 0.0  # chance that a region and its neighbours are asked for as one
    framed: bool = False  # pictures are filled up to a square, as SAM's are


def first_term(middle: int, late: int) -> tuple[Course, ...]:
    """Small pictures first, many a step: what a surface and an edge are is learnt there. Then ever finer ones.

    Late lessons show most scenes enlarged, as SAM's own resizing does, so that a region has tokens of its own.
    """
    small, medium, large = (64, 64), (128, 128), (192, 192)
    return (
        Course(0, {(small, small): 0.8, ((96, 64), (96, 64)): 0.1, ((64, 96), (64, 96)): 0.1}, (2, 1, 1), uses=4),
        Course(
            middle, {(medium, medium): 0.6, ((96, 96), medium): 0.2, ((96, 128), (96, 128)): 0.2}, (2, 1, 1), uses=2
        ),
        Course(
            late,
            {
                (medium, large): 0.6,
                (large, large): 0.1,
                (medium, (256, 256)): 0.15,
                ((128, 192), (128, 192)): 0.075,
                ((192, 128), (192, 128)): 0.075,
            },
            (2, 3, 1),
        ),
    )


def second_term() -> tuple[Course, ...]:
    """Pictures of 256 pixels, each asked about a dozen times, for what is costly is to look at it; half of it boxes."""
    square, wide, high = (256, 256), (176, 256), (256, 176)
    chances = {((128, 128), square): 0.45, ((192, 192), square): 0.12, (square, square): 0.08}
    chances |= {((88, 128), wide): 0.11, ((132, 192), wide): 0.065, ((128, 88), high): 0.11, ((192, 132), high): 0.065}
    return (Course(0, chances, (4, 6, 2), careful=0.5),)


def third_term() -> tuple[Course, ...]:
    """Pictures framed as they will be in use; boxes most of all, and more often around what has several surfaces."""
    square, wide, high = (240, 240), (160, 240), (240, 160)
    chances = {((128, 128), square): 0.4, ((180, 180), square): 0.15, (square, square): 0.05}
    chances |= {((120, 180), wide): 0.15, (wide, wide): 0.1, ((180, 120), high): 0.1, (high, high): 0.05}
    return (Course(0, chances, (4, 8, 2), uses=2, careful=0.7, joined=0.35, framed=True),)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step's batch. The N regions belong to the B images in order, N / B each."""

    image_B3HW: Tensor
    target_NHW: Tensor
    click_N2: Tensor
    box_N4: Tensor
    part_BHW: Tensor  # which smallest part each pixel belongs to
    asked: Asked  # how the regions of each image are asked, in their order


class Lessons(Dataset[Lesson]):
    """Lesson `step` as a pure function of (seed, step), so that a resumed run sees what it would have seen."""

    def __init__(self, seed: int, batch: int, courses: tuple[Course, ...], steps: int, earlier: int = 0) -> None:
        self.seed, self.batch, self.courses, self.steps = seed, batch, courses, steps
        self.earlier = earlier  # lessons of other terms: scenes go on behind theirs, so that none comes again

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Lesson:
        number = self.earlier + step
        rng = default_rng((self.seed, number))
        course = max((one for one in self.courses if one.start <= step), key=lambda one: one.start)
        drawn, shown = list(course.chances)[rng.choice(len(course.chances), p=list(course.chances.values()))]
        size = (max(shown), max(shown)) if course.framed else shown
        count = max(1, round(self.batch * 128 * 128 / (size[0] * size[1])))
        images, targets, clicks, boxes, parts = [], [], [], [], []
        for row in range(count):
            scene = make_scene(self.seed, number * 4 * self.batch + row // course.uses, drawn)
            if row % course.uses:
                scene = transform(rng, scene)
            if drawn != shown:
                scene = enlarge(scene, shown)
            area = scene.regions_NHW.sum((1, 2))
            chance = area**0.3 / (area**0.3).sum()
            for pick in rng.choice(len(area), sum(course.asked), p=chance):
                mask = scene.regions_NHW[pick]
                if course.joined and rng.uniform() < course.joined:
                    mask = join_neighbours(rng, scene.regions_NHW, int(pick))
                targets.append(mask)
                careful = rng.uniform() < course.careful if course.careful else False
                clicks.append(click_inside(rng, mask, tries=6 if careful else 1))
                boxes.append(box_around(rng, mask, spread=0.0 if careful else 0.1))
            images.append(scene.image_HW3)
            parts.append(scene.parts_HW)
        below, beside = size[0] - shown[0], size[1] - shown[1]
        return Lesson(
            F.pad(standardise(np.stack(images)), (0, beside, 0, below)),
            F.pad(torch.from_numpy(np.stack(targets)), (0, beside, 0, below)),
            torch.from_numpy(np.stack(clicks)),
            torch.from_numpy(np.stack(boxes)),
            F.pad(torch.from_numpy(np.stack(parts)), (0, beside, 0, below), value=-1),
            course.asked,
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


def enlarge(scene: NanoScene, size: Size) -> NanoScene:
    """The scene at another size: pixels bilinear, regions by the nearest pixel."""
    image = np.asarray(Picture.fromarray(scene.image_HW3).resize(size[::-1], Picture.Resampling.BILINEAR))
    (H, W), (h, w) = scene.parts_HW.shape, size
    rows, columns = (np.arange(h) * 2 + 1) * H // (2 * h), (np.arange(w) * 2 + 1) * W // (2 * w)
    at = np.ix_(rows, columns)
    return NanoScene(image, scene.regions_NHW[:, at[0], at[1]], scene.parts_HW[at])


def standardise(image_BHW3: NDArray[np.uint8]) -> Tensor:
    """8-bit RGB as SAM wants it."""
    pixels = torch.from_numpy(image_BHW3).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PHOTO_MEAN, PHOTO_STD))
    return (pixels - mean) / std
