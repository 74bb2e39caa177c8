"""What a SAM sees in generated scenes: one click, one box, everything; as numbers and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sensam.evaluate.figures import Panel, draw_panels, many_colours
from sensam.evaluate.masks import innermost, iou
from sensam.infer.promptable import Predictor
from sensam.sam.automatic import AutomaticSettings
from sensam.sam.nano.scenes import NanoScene, make_scene
from sensam.sam.regions import Regions, bounding_box

STREAM = 424242  # scenes nobody learns from
SIZE = (256, 256)
CLICKS = 5  # in each scene
# SAM's own thresholds, 0.88 and 0.95, leave next to nothing of nano, whose logits are softer.
EVERYTHING = AutomaticSettings(points_per_side=12, min_iou=0.5, min_stability=0.4, min_area=80, min_region=40)
TITLES = ("image", "clicks and boxes", "masks from one click each", "masks from boxes", "everything")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A scene, what was asked about N of its regions, and what SAM answered."""

    scene: NanoScene
    clicks_N2: NDArray[np.float64]
    boxes_N4: NDArray[np.int64]
    by_click_NHW: NDArray[np.bool_]
    by_box_NHW: NDArray[np.bool_]
    click_iou_N: NDArray[np.float64]  # with the region that was clicked
    box_iou_N: NDArray[np.float64]
    everything: Regions


def demo_scenes(count: int, first: int) -> list[NanoScene]:
    """Consecutive scenes of a stream kept for demonstrations."""
    return [make_scene(STREAM, first + index, SIZE) for index in range(count)]


def ask(predictor: Predictor, scene: NanoScene) -> Answer:
    """Click into the largest separate regions, box them, and look for everything."""
    regions_NHW = scene.regions_NHW[choose_regions(scene.regions_NHW, CLICKS)]
    clicks = np.array([innermost(mask) for mask in regions_NHW], np.float64)
    boxes = np.array([bounding_box(mask) for mask in regions_NHW])
    predictor.set_image(scene.image_HW3)
    by_click, by_box = (
        answer.best().masks_NMHW[:, 0].cpu().numpy()
        for answer in (predictor.predict(clicks[:, None]), predictor.predict(boxes=boxes, multimask=False))
    )
    grades = iou(by_click, regions_NHW), iou(by_box, regions_NHW)
    return Answer(scene, clicks, boxes, by_click, by_box, *grades, predictor.everything(EVERYTHING))


def choose_regions(regions_NHW: NDArray[np.bool_], count: int) -> list[int]:
    """The largest regions that do not overlap each other, without those that are mostly background."""
    free = np.ones(regions_NHW.shape[1:], np.bool_)
    chosen: list[int] = []
    areas = regions_NHW.sum((1, 2))
    for index in np.argsort(-areas, kind="stable").tolist():
        if len(chosen) < count and free[regions_NHW[index]].all() and areas[index] < 0.6 * free.size:
            free &= ~regions_NHW[index]
            chosen.append(index)
    return chosen


def draw_answers(answers: Sequence[Answer]) -> Figure:
    """One row a scene: image, prompts, masks by click, masks by box, everything."""
    return draw_panels(TITLES, [_row(answer) for answer in answers])


def _row(answer: Answer) -> list[Panel]:
    image, found = answer.scene.image_HW3, answer.everything
    return [
        Panel(image, caption=f"{image.shape[1]} x {image.shape[0]} pixels"),
        Panel(image, clicks_N2=answer.clicks_N2, boxes_N4=answer.boxes_N4, caption=f"{len(answer.clicks_N2)} regions"),
        Panel(
            image,
            answer.by_click_NHW,
            answer.clicks_N2,
            caption=f"mean IoU with the region meant {answer.click_iou_N.mean():.2f}",
        ),
        Panel(
            image,
            answer.by_box_NHW,
            boxes_N4=answer.boxes_N4,
            caption=f"mean IoU with the region meant {answer.box_iou_N.mean():.2f}",
        ),
        Panel(
            image,
            found.masks(),
            colours=many_colours(max(1, len(found))),
            caption=f"{len(found)} mask{'' if len(found) == 1 else 's'}",
        ),
    ]
