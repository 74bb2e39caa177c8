"""The demonstration asks about real regions and grades its answers as the definition says."""

import numpy as np
import pytest

from sensam.evaluate.demonstration import CLICKS, Answer, ask, choose_regions, demo_scenes, draw_answers, innermost, iou
from sensam.infer.promptable import Predictor
from sensam.sam.model import build_sam


@pytest.mark.parametrize("first", range(4))
def test_regions_asked_about_are_separate_and_clicked_inside(first: int) -> None:
    (scene,) = demo_scenes(1, first)
    chosen = choose_regions(scene.regions_NHW, CLICKS)
    asked = scene.regions_NHW[chosen]
    assert 1 <= len(chosen) <= CLICKS
    assert asked.sum(0).max() == 1
    for mask in asked:
        x, y = innermost(mask)
        assert mask[y, x]


def test_the_innermost_pixel_is_far_from_every_edge() -> None:
    mask = np.zeros((21, 31), np.bool_)
    mask[3:18, 5:20] = True
    assert innermost(mask) == (12, 10)
    assert innermost(np.ones((5, 5), np.bool_)) == (2, 2)  # the edge of the image is an edge


def test_iou_by_hand() -> None:
    truth = np.array([[[True, True, False]], [[True, True, True]], [[False, False, False]]])
    found = np.array([[[False, True, True]], [[True, True, True]], [[False, False, False]]])
    assert iou(found, truth).tolist() == pytest.approx([1 / 3, 1, 0])


def test_an_answer_belongs_to_its_scene() -> None:
    (scene,) = demo_scenes(1, 0)
    answer = ask(Predictor(build_sam("nano")), scene)
    count = len(answer.clicks_N2)
    assert isinstance(answer, Answer)
    assert answer.by_click_NHW.shape == answer.by_box_NHW.shape == (count, *scene.image_HW3.shape[:2])
    assert answer.everything.size == scene.image_HW3.shape[:2]
    assert len(draw_answers([answer]).axes) == 5
