"""The demonstration asks about real regions and grades its answers as the definition says."""

from dataclasses import replace

import pytest

from sensam.evaluate import demonstration
from sensam.evaluate.demonstration import CLICKS, Answer, ask, choose_regions, demo_scenes, draw_answers
from sensam.evaluate.masks import innermost
from sensam.infer.promptable import Predictor
from sensam.sam.model import build_sam
from sensam.sam.weights import load_sam


@pytest.mark.slow
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


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "EVERYTHING", replace(demonstration.EVERYTHING, points_per_side=4))


@pytest.mark.slow
@pytest.mark.usefixtures("few_points")
def test_an_answer_belongs_to_its_scene() -> None:
    (scene,) = demo_scenes(1, 0)
    answer = ask(Predictor(build_sam("nano")), scene)
    count = len(answer.clicks_N2)
    assert isinstance(answer, Answer)
    assert answer.by_click_NHW.shape == answer.by_box_NHW.shape == (count, *scene.image_HW3.shape[:2])
    assert answer.everything.size == scene.image_HW3.shape[:2]
    assert len(draw_answers([answer]).axes) == 5


@pytest.mark.slow
@pytest.mark.usefixtures("few_points")
def test_nano_finds_what_is_meant_and_more() -> None:
    (scene,) = demo_scenes(1, 1)
    answer = ask(Predictor(load_sam("nano")), scene)
    assert answer.click_iou_N.mean() > 0.6
    assert answer.box_iou_N.mean() > 0.4
    assert len(answer.everything) >= 3
