"""Contact sheets: every class is shown, pictures are true to pixels and labels, the page holds all of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from sensam.data.checks.survey import survey
from sensam.data.contact import draw_contact_sheet
from sensam.data.contact.choice import MOST, Pair, choose
from sensam.data.contact.pictures import Stretch, edges, false_colour, overlay, stripes
from sensam.data.contact.sheet import MARGIN, WIDTH, lay_out_rows
from sensam.data.dataset import open_dataset
from sensam.data.raster import Raster
from sensam.errors import InputError


def test_false_colours_are_stretched_alike_and_show_what_is_missing() -> None:
    stretch = Stretch((2, 0, 1), np.array([0.0, 10, 20]), np.array([1.0, 20, 40]))
    pixels_CHW = np.array([[[10.0, 15, 25]], [[20, 40, 30]], [[0, 0.5, 2]]], np.float32)
    valid_CHW = np.ones((3, 1, 3), bool)
    valid_CHW[1, 0, 2] = False
    picture = false_colour(Raster(pixels_CHW, valid_CHW, ("a", "b", "c")), stretch)
    assert np.allclose(picture[0, 0], [0, 0, 0])
    assert np.allclose(picture[0, 1], [0.5, 0.5, 1])
    assert np.allclose(picture[0, 2], stripes(1, 3)[0, 2])


def test_labels_lie_over_the_image_and_missing_ones_are_striped() -> None:
    picture = np.full((4, 4, 3), 0.5, np.float32)
    label_HW = np.zeros((4, 4), np.uint8)
    label_HW[:, 2:] = 1
    label_HW[0, 0] = 255
    shown = overlay(picture, label_HW, [(255, 0, 0), (0, 0, 255)], 255)
    assert np.allclose(shown[0, 0], stripes(4, 4)[0, 0])
    assert shown[3, 0, 0] > shown[3, 0, 2]
    assert shown[3, 3, 2] > shown[3, 3, 0]
    assert edges(label_HW)[2].tolist() == [False, True, False, False]
    assert np.allclose(shown[2, 1] / shown[2, 1].max(), [1, 0, 0])


@pytest.mark.slow
def test_every_class_is_shown_and_splits_are_in_order(make_set: Any) -> None:
    small = make_set({"train": 20, "val": 12})
    dataset = open_dataset(small.yaml)
    found = survey(dataset)
    chosen = choose(found)
    assert len(chosen) == MOST
    assert {facts.item.split for facts in chosen} == {"train", "val"}
    assert (np.sum([facts.counts_K for facts in chosen], axis=0)[:-1] > 0).all()
    order = [found.items.index(facts) for facts in chosen]
    assert order == sorted(set(order))


@pytest.mark.parametrize("count", [1, 2, 5, 16])
@pytest.mark.parametrize("shapes", [[(64, 64)], [(30, 200)], [(90, 60), (60, 90)]])
@pytest.mark.parametrize("labelled", [True, False])
def test_rows_fill_the_page_and_never_leave_it(count: int, shapes: list[tuple[int, int]], labelled: bool) -> None:
    pairs = []
    for number in range(count):
        picture = np.zeros((*shapes[number % len(shapes)], 3), np.float32)
        pairs.append(Pair(str(number), "train", picture, picture if labelled else None))
    rows = lay_out_rows(pairs)
    assert [pair for row in rows for pair in row.pairs] == pairs
    for row in rows:
        widths = [row.height * p.shape[1] / p.shape[0] for pair in row.pairs for p in pair.pictures]
        assert sum(widths) <= WIDTH - 2 * MARGIN + 1e-6


@pytest.mark.parametrize(
    "bands", [pytest.param(1, marks=pytest.mark.slow), 7, pytest.param(20, marks=pytest.mark.slow)]
)
def test_a_sheet_is_drawn(make_set: Any, tmp_path: Path, bands: int) -> None:
    small = make_set(bands=bands)
    path = draw_contact_sheet(survey(open_dataset(small.yaml)), tmp_path / "deep/sheet.png")
    picture = imread(path)
    assert picture.shape[1] == 1950
    assert picture[..., :3].std() > 0.05
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_without_masks_and_without_a_png(make_set: Any, tmp_path: Path) -> None:
    small = make_set()
    del small.settings["masks"], small.settings["classes"]
    found = survey(open_dataset(small.yaml))
    assert draw_contact_sheet(found, tmp_path / "sheet.png").is_file()
    with pytest.raises(InputError, match="must end in"):
        draw_contact_sheet(found, tmp_path / "sheet.pdf")
    found.items.clear()
    with pytest.raises(InputError, match="nothing to draw"):
        draw_contact_sheet(found, tmp_path / "other.png")
