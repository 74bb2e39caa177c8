"""Lessons depend on seed and step alone, and ask about what is there."""

import numpy as np
import pytest
import torch

from sensam.sam.nano.lessons import (
    Course,
    Lessons,
    enlarge,
    first_term,
    second_term,
    standardise,
    third_term,
    transform,
)
from sensam.sam.nano.scenes import make_scene


@pytest.fixture
def lessons() -> Lessons:
    return Lessons(seed=0, batch=1, courses=first_term(2, 4), steps=4)


def test_a_lesson_depends_on_seed_and_step_alone(lessons: Lessons) -> None:
    first = lessons[1]
    lessons[0]
    again = lessons[1]
    torch.testing.assert_close(first.image_B3HW, again.image_B3HW, rtol=0, atol=0)
    torch.testing.assert_close(first.click_N2, again.click_N2, rtol=0, atol=0)
    assert not torch.equal(first.image_B3HW[:1], lessons[0].image_B3HW[:1])


@pytest.mark.slow
def test_work_per_step_stays_the_same_whatever_the_size() -> None:
    lessons = Lessons(seed=0, batch=4, courses=first_term(4, 8), steps=12)
    pixels = [lessons[step].image_B3HW[:, 0].numel() for step in range(12)]
    assert max(pixels) <= 1.5 * min(pixels)


def test_clicks_are_inside_and_boxes_are_near(lessons: Lessons) -> None:
    lesson = lessons[0]
    assert len(lesson.target_NHW) == sum(lesson.asked) * len(lesson.image_B3HW)
    for mask, click in zip(lesson.target_NHW, lesson.click_N2.long(), strict=True):
        assert mask[click[1], click[0]]
    height, width = lesson.target_NHW.shape[1:]
    x0, y0, x1, y1 = lesson.box_N4.T
    assert (x0 >= 0).all()
    assert (y0 >= 0).all()
    assert (x1 <= width - 1).all()
    assert (y1 <= height - 1).all()


def test_a_transformed_scene_keeps_its_labels_on_its_pixels() -> None:
    scene = make_scene(0, 0, (32, 48))
    rng = np.random.default_rng(1)
    for _ in range(6):
        turned = transform(rng, scene)
        flips = [(a, b) for a in (1, -1) for b in (1, -1) if (turned.parts_HW == scene.parts_HW[::a, ::b]).all()]
        a, b = flips[0]
        np.testing.assert_array_equal(turned.regions_NHW, scene.regions_NHW[:, ::a, ::b])
        bands = np.sort(turned.image_HW3.astype(int), -1)
        original = np.sort(scene.image_HW3[::a, ::b].astype(int), -1)
        negative = np.sort(255 - scene.image_HW3[::a, ::b].astype(int), -1)
        assert (bands == original).all() or (bands == negative).all()


def test_an_enlarged_scene_has_its_regions_where_its_pixels_are() -> None:
    scene = make_scene(0, 0, (32, 48))
    larger = enlarge(scene, (64, 96))
    assert larger.image_HW3.shape == (64, 96, 3)
    np.testing.assert_array_equal(larger.parts_HW, np.kron(scene.parts_HW, np.ones((2, 2), np.int16)))
    np.testing.assert_array_equal(larger.regions_NHW[:, ::2, 1::2], scene.regions_NHW)


def test_courses_follow_each_other_and_each_is_a_distribution() -> None:
    courses = first_term(10, 30)
    assert [course.start for course in courses] == [0, 10, 30]
    assert [sum(course.chances.values()) for course in courses] == pytest.approx([1, 1, 1])
    lessons = Lessons(seed=0, batch=1, courses=first_term(1, 2), steps=3)
    assert max(lessons[0].image_B3HW.shape[2:]) < 128
    assert max(lessons[2].image_B3HW.shape[2:]) >= 128


def test_scenes_of_a_later_term_are_new() -> None:
    (course,) = second_term()
    assert sum(course.chances.values()) == pytest.approx(1)
    first, later = (Lessons(seed=0, batch=4, courses=(course,), steps=1, earlier=n)[0] for n in (0, 8000))
    assert first.image_B3HW.shape != later.image_B3HW.shape or not torch.equal(first.image_B3HW, later.image_B3HW)


def test_framed_pictures_are_filled_up_below_and_to_the_right() -> None:
    (course,) = third_term()
    assert sum(course.chances.values()) == pytest.approx(1)
    wide = Course(0, {((40, 60), (80, 120)): 1.0}, (1, 1, 1), framed=True)
    lesson = Lessons(seed=0, batch=1, courses=(wide,), steps=1)[0]
    assert lesson.image_B3HW.shape[2:] == (120, 120)
    assert lesson.image_B3HW[:, :, 80:].abs().max() == 0
    assert lesson.image_B3HW[:, :, :80].std() > 0.1
    assert not lesson.target_NHW[:, 80:].any()
    assert lesson.target_NHW.flatten(1).any(1).all()
    assert (lesson.part_BHW[:, 80:] == -1).all()


def test_standardising_is_sams() -> None:
    grey = np.full((1, 2, 2, 3), 124, np.uint8)
    values = standardise(grey)[0, :, 0, 0]
    torch.testing.assert_close(values, torch.tensor([0.325 / 58.395, 7.72 / 57.12, 20.47 / 57.375]))
