"""Scores of clicks: flood fill where it is perfect and where it is not, and oracles at both ends."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensam.errors import InputError
from sensam.evaluate.clicks import (
    Picture,
    ask,
    best_flood,
    box_answer,
    filled_answer,
    flood_answer,
    generated,
    lead,
    middle_of_box,
    photographs,
    summarise,
)
from sensam.evaluate.contest import Lead, contest
from sensam.sam.model import Sam
from tests.infer.conftest import enliven, tiny_anatomy


@pytest.fixture
def squares() -> Picture:
    """Two flat squares that differ by 20 steps, on a background 60 steps away."""
    image = np.full((40, 40, 3), 100, np.uint8)
    image[5:15, 5:15] = 160
    image[5:15, 15:25] = 180
    regions = np.zeros((2, 40, 40), bool)
    regions[0, 5:15, 5:15] = True
    regions[1, 5:15, 15:25] = True
    return Picture(image, regions)


def test_flood_fill_is_perfect_below_the_step_and_merges_above(squares: Picture) -> None:
    np.testing.assert_allclose(flood_answer(12)(squares), 1)
    np.testing.assert_allclose(flood_answer(24)(squares), 0.5)
    np.testing.assert_allclose(flood_answer(24, boxed=True)(squares), 1)


def test_flood_fill_stays_in_one_piece(squares: Picture) -> None:
    squares.image_HW3[30:35, 30:35] = 160  # the same colour elsewhere
    np.testing.assert_allclose(flood_answer(12)(squares), 1)


def test_a_box_tells_flood_fill_its_middle_and_no_more() -> None:
    """The middle of a ring is not of the ring: told the most inner pixel the fill is perfect, by the box it is lost."""
    image = np.full((20, 20, 3), 100, np.uint8)
    image[2:18, 2:18] = 160
    image[5:15, 5:15] = 100
    ring = Picture(image, (image[None, :, :, 0] == 160))
    assert middle_of_box(ring.regions_NHW[0]) == (9, 9)
    np.testing.assert_allclose(flood_answer(12, boxed=True)(ring), 1)
    np.testing.assert_allclose(flood_answer(12, boxed=True, start=middle_of_box)(ring), 0)
    np.testing.assert_allclose(filled_answer(ring), (16**2 - 10**2) / 16**2)


@pytest.mark.slow
def test_the_contest_scores_every_entry_in_its_own_way() -> None:
    tiny = Sam(tiny_anatomy())
    enliven(tiny)
    pictures = list(generated(2, (48, 48)))
    found = contest(tiny, pictures)
    rows, leads = {row.name: row for row in found.entries}, {row.over: row for row in found.leads}
    name = tiny.anatomy.name
    box, closer, filled = (
        ask(each, pictures) for each in (box_answer(tiny), box_answer(tiny, closer=True), filled_answer)
    )
    assert rows[name].box == summarise(box)
    assert rows[f"{name}, a closer look"].box == summarise(closer)
    assert rows["the box itself"].box == summarise(filled)
    assert leads["the box itself"] == Lead("the box itself", None, lead(box, filled), lead(closer, filled))
    assert [*rows][2:] == [*leads]
    boxes_alone = ["a closer look", "told the click too", "the box itself"]
    assert [any(part in each for part in boxes_alone) for each in rows] == [row.click is None for row in rows.values()]
    assert len({row.box.regions for row in rows.values() if row.box}) == 1


def test_the_best_tolerance_wins(squares: Picture) -> None:
    tolerance, best = best_flood([squares])
    assert tolerance <= 16
    assert summarise(best).mean == 1


def test_the_mean_is_over_regions_and_the_interval_over_pictures() -> None:
    pictures = [Picture(np.zeros((2, 2, 3), np.uint8), np.ones((n, 2, 2), bool)) for n in (1, 3)]
    result = summarise(
        ask(lambda picture: np.full(len(picture.regions_NHW), float(len(picture.regions_NHW) == 3)), pictures)
    )
    assert result.mean == 0.75
    assert (result.low, result.high) == (0, 1)
    assert result.regions == 4


def test_a_lead_is_certain_where_pictures_differ_more_than_contestants_do() -> None:
    hard, easy = np.array([0.1, 0.2]), np.array([0.8, 0.9, 0.7])
    theirs = [hard, easy, hard, easy]
    ours = [ious + 0.05 for ious in theirs]
    assert summarise(ours).low < summarise(theirs).high
    ahead = lead(ours, theirs)
    np.testing.assert_allclose((ahead.mean, ahead.low, ahead.high), 0.05)
    assert ahead.regions == 10


@pytest.mark.slow
def test_held_out_scenes_are_not_those_nano_learns_from() -> None:
    from sensam.sam.nano.scenes import make_scene

    held_out = {picture.image_HW3.tobytes() for picture in generated(3, (64, 64))}
    assert held_out.isdisjoint({make_scene(0, index, (64, 64)).image_HW3.tobytes() for index in range(20)})


def test_photographs_come_with_the_first_annotators_large_regions(tmp_path: Path) -> None:
    for folder in ("images", "segs"):
        (tmp_path / folder).mkdir()
    first = np.repeat([[1] * 10, [2] * 10], 10, axis=0).astype(np.uint8)
    first[0, 0] = 3  # one pixel: too small to click
    Image.fromarray(np.zeros((20, 10, 3), np.uint8)).save(tmp_path / "images" / "a.jpg")
    np.savez(tmp_path / "segs" / "a.npz", segs=np.stack([first, np.ones_like(first)]))
    (picture,) = photographs(tmp_path, smallest=0.01)
    np.testing.assert_array_equal(picture.regions_NHW, [first == 1, first == 2])
    (tmp_path / "segs" / "a.npz").unlink()
    with pytest.raises(InputError, match=r"a\.jpg has no regions"):
        list(photographs(tmp_path))


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no images/\*.jpg"):
        list(photographs(tmp_path))
