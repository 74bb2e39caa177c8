"""How well one click or one box finds a region: SAM beside flood fill, on generated scenes and on photographs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label

from sensam.errors import InputError
from sensam.evaluate.masks import innermost, iou
from sensam.infer.promptable import Predictor
from sensam.sam.model import Sam
from sensam.sam.nano.scenes import make_scene
from sensam.sam.regions import bounding_box

HELD_OUT = 1  # the seed of scenes that nano never learns from; it learns from seed 0
TOLERANCES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)  # of flood fill, in 8-bit steps of any band

Mask = NDArray[np.bool_]
IoUs = list[NDArray[np.float64]]  # of every picture's regions
Answer = Callable[["Picture"], NDArray[np.float64]]
Place = Callable[[Mask], tuple[int, int]]  # a region's pixel to start from, as column and row


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image and the regions that a click or box in it may mean."""

    image_HW3: NDArray[np.uint8]
    regions_NHW: Mask


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over all regions, with the 95 % interval of drawing other pictures of the same kind."""

    mean: float
    low: float
    high: float
    regions: int


def generated(count: int, size: tuple[int, int] = (128, 128)) -> Iterator[Picture]:
    """Held-out generated scenes."""
    for index in range(count):
        scene = make_scene(HELD_OUT, index, size)
        yield Picture(scene.image_HW3, scene.regions_NHW)


def photographs(folder: Path, *, smallest: float = 0.005) -> Iterator[Picture]:
    """Photographs of a Berkeley segmentation split, with the regions of each image's first annotator.

    The folder holds images/NAME.jpg and segs/NAME.npz; regions below `smallest` of the image are left out.
    """
    paths = sorted((folder / "images").glob("*.jpg"))
    if not paths:
        raise InputError(f"{folder} holds no images/*.jpg. Give a folder with images/ and segs/.")
    for path in paths:
        drawn = folder / "segs" / f"{path.stem}.npz"
        if not drawn.is_file():
            raise InputError(f"{path} has no regions: {drawn} is not there. Take the photograph out, or add its file.")
        with np.load(drawn, allow_pickle=False) as stored:
            regions_HW = stored["segs"][0]
        numbers, areas = np.unique(regions_HW, return_counts=True)
        kept = numbers[areas >= smallest * regions_HW.size]
        yield Picture(np.asarray(Image.open(path).convert("RGB")), regions_HW == kept[:, None, None])


def click_answer(sam: Sam) -> Answer:
    """One click at the most inner pixel; of three masks the one that SAM itself thinks best."""
    predictor = Predictor(sam)

    def answer(picture: Picture) -> NDArray[np.float64]:
        predictor.set_image(picture.image_HW3)
        clicks = [innermost(region) for region in picture.regions_NHW]
        found = predictor.predict(points=np.array(clicks, np.float32)[:, None]).best()
        return iou(found.masks_NMHW[:, 0].cpu().numpy(), picture.regions_NHW)

    return answer


def box_answer(sam: Sam, *, closer: bool = False) -> Answer:
    """The region's tight box, one mask; `closer` looks at each box with its surroundings enlarged."""
    predictor = Predictor(sam)

    def answer(picture: Picture) -> NDArray[np.float64]:
        predictor.set_image(picture.image_HW3)
        boxes = np.array([bounding_box(region) for region in picture.regions_NHW], np.float32)
        if closer:
            found_NHW = predictor.look_closer(boxes).masks_NHW
        else:
            found_NHW = predictor.predict(boxes=boxes, multimask=False).masks_NMHW[:, 0]
        return iou(found_NHW.cpu().numpy(), picture.regions_NHW)

    return answer


def filled_answer(picture: Picture) -> NDArray[np.float64]:
    """The region's tight box itself."""
    found = np.zeros_like(picture.regions_NHW)
    for mask_HW, region_HW in zip(found, picture.regions_NHW, strict=True):
        _open_box(mask_HW, region_HW)
    return iou(found, picture.regions_NHW)


def flood_answer(tolerance: int, *, boxed: bool = False, start: Place = innermost) -> Answer:
    """What spreads from a pixel over others within `tolerance` of its colour; `boxed` keeps it inside the box."""

    def answer(picture: Picture) -> NDArray[np.float64]:
        found = np.zeros_like(picture.regions_NHW)
        pixels = picture.image_HW3.astype(np.int16)
        for number, region_HW in enumerate(picture.regions_NHW):
            column, row = start(region_HW)
            alike_HW = (np.abs(pixels - pixels[row, column]) <= tolerance).all(-1)
            if boxed:
                inside_HW = np.zeros_like(alike_HW)
                _open_box(inside_HW, region_HW)
                alike_HW &= inside_HW
            pieces_HW, _ = label(alike_HW)
            found[number] = pieces_HW == pieces_HW[row, column]
        return iou(found, picture.regions_NHW)

    return answer


def middle_of_box(region_HW: Mask) -> tuple[int, int]:
    """All that a box tells of where its content is."""
    x0, y0, x1, y1 = bounding_box(region_HW)
    return (x0 + x1 - 1) // 2, (y0 + y1 - 1) // 2


def _open_box(mask_HW: Mask, region_HW: Mask) -> None:
    x0, y0, x1, y1 = bounding_box(region_HW)
    mask_HW[y0:y1, x0:x1] = True


def ask(answer: Answer, pictures: Iterable[Picture]) -> IoUs:
    """The answer about every region of every picture, compared with the region."""
    return [answer(picture) for picture in pictures]


def summarise(by_picture: IoUs) -> Score:
    """The mean over regions, and how far it moves when pictures are drawn anew from these."""
    everything = np.concatenate(by_picture)
    draws = np.random.default_rng(0).integers(len(by_picture), size=(1000, len(by_picture)))
    sums = np.array([ious.sum() for ious in by_picture])
    counts = np.array([len(ious) for ious in by_picture])
    means = sums[draws].sum(1) / counts[draws].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Score(float(everything.mean()), float(low), float(high), len(everything))


def lead(ours: IoUs, theirs: IoUs) -> Score:
    """How far ahead on the same regions: hard pictures are hard for both, and drop out of the difference."""
    return summarise([our - their for our, their in zip(ours, theirs, strict=True)])


def best_flood(pictures: list[Picture], *, boxed: bool = False, start: Place = innermost) -> tuple[int, IoUs]:
    """Flood fill at the tolerance that does best on these very pictures: the strongest case for it."""
    found = {each: ask(flood_answer(each, boxed=boxed, start=start), pictures) for each in TOLERANCES}
    best = max(found, key=lambda tolerance: float(np.concatenate(found[tolerance]).mean()))
    return best, found[best]
