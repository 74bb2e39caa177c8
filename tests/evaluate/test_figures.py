"""Figures show what they are given, in the right place."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sensam.errors import InputError
from sensam.evaluate.figures import COLOURS, Panel, draw_panels, many_colours, prepare_folder, save_figure, tint

GREY = np.full((40, 60, 3), 128, np.uint8)


def pixels_of(figure: Figure, tmp_path: Path) -> np.ndarray:
    save_figure(figure, tmp_path / "figure.png")
    return np.asarray(Image.open(tmp_path / "figure.png").convert("RGB")).astype(int)


def test_masks_boxes_and_clicks_change_their_own_panel_only(tmp_path: Path) -> None:
    mask = np.zeros((1, 40, 60), np.bool_)
    mask[0, 10:30, 20:40] = True
    clicks, boxes = np.array([[30.0, 20.0]]), np.array([[20.0, 10.0, 40.0, 30.0]])
    plain = pixels_of(draw_panels(["a", "b"], [[Panel(GREY), Panel(GREY)]]), tmp_path)
    for full in (Panel(GREY, mask), Panel(GREY, clicks_N2=clicks), Panel(GREY, boxes_N4=boxes)):
        changed = (pixels_of(draw_panels(["a", "b"], [[Panel(GREY), full]]), tmp_path) != plain).any(-1)
        assert changed.any()
        assert not changed[:, : changed.shape[1] // 2].any()


def test_tint_colours_the_mask_and_small_masks_lie_on_large_ones() -> None:
    masks = np.zeros((2, 40, 60), np.bool_)
    masks[0, 5, 5] = True
    masks[1, :20] = True
    picture = tint(GREY, masks, COLOURS)
    assert np.allclose(picture[5, 5], 0.5 * 128 / 255 + 0.5 * np.array(COLOURS[0]))
    assert np.allclose(picture[6, 6], 0.5 * 128 / 255 + 0.5 * np.array(COLOURS[1]))
    assert np.allclose(picture[30, 30], 128 / 255)


def test_no_masks_is_a_picture_too(tmp_path: Path) -> None:
    nothing = Panel(GREY, np.zeros((0, 40, 60), np.bool_), np.zeros((0, 2)), np.zeros((0, 4)))
    assert pixels_of(draw_panels(["a"], [[nothing]]), tmp_path).size


def test_colours_differ() -> None:
    colours = np.array(many_colours(24))
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + np.eye(24)
    assert distance.min() > 0.05


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    figure = draw_panels(["a"], [[Panel(GREY)]])
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(InputError, match=r"Cannot write .*figure.png"):
        save_figure(figure, tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    with pytest.raises(InputError, match="Choose another folder"):
        save_figure(figure, tmp_path / "absent" / "figure.png")


def test_folders_are_made_and_left_empty(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())
