"""Windows around clicks, embeddings kept on disk, and masks that lie where they should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.data.raster import Window
from sensam.errors import InputError
from sensam.infer.click_places import Wanted
from sensam.infer.scene_clicks import Found, SceneClicks, identify
from sensam.methods.inherited import PickedEncoder, as_sam
from sensam.nn.band_stems import AsPhotograph
from sensam.nn.shelf import Shelf
from sensam.sam.model import Sam
from sensam.sensors import load_sensor
from sensam.types import Prompts
from tests.sam.conftest import TINY, fill

SIDE = 64
PLAIN = Sam(TINY)


class Counting(Sam):
    """Counts how often it looks."""

    looks = 0

    def encode(self, image_BCHW: Tensor) -> Tensor:
        self.looks += 1
        return super().encode(image_BCHW)


class Squares(Sam):
    """Finds the square of 16 pixels around a click of an image that is encoded as it is, and the box itself."""

    def decode(self, embedding_BEhw: Tensor, prompts: Prompts, *, multimask: bool = True) -> tuple[Tensor, Tensor]:
        h, w = embedding_BEhw.shape[-2:]
        y, x = torch.meshgrid(torch.arange(4 * h) * 4 + 2.0, torch.arange(4 * w) * 4 + 2.0, indexing="ij")
        if prompts.boxes_N4 is not None:
            x0, y0, x1, y1 = prompts.boxes_N4[0]
            inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
        else:
            assert prompts.points_NP2 is not None
            px, py = prompts.points_NP2[0, 0]
            inside = ((x - px).abs() < 8) & ((y - py).abs() < 8)
        count = 3 if multimask else 1
        masks = torch.stack([inside] + [~inside] * (count - 1))[None].float() * 2 - 1
        return masks, torch.tensor([[0.9, 0.5, 0.1]])[:, :count]


def pixels(window: Window) -> tuple[Tensor, NDArray[np.bool_]]:
    """A scene whose numbers say where they are."""
    row, column, rows, columns = window
    y, x = np.mgrid[row : row + rows, column : column + columns]
    image = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)]).astype(np.float32)
    return torch.from_numpy(image), np.ones((rows, columns), bool)


def clicks_on(sam: Sam, size: tuple[int, int] = (300, 500), shelf: Shelf | None = None, **other: bool) -> SceneClicks:
    fill(sam, 0)
    is_sure = other.get("is_sure", True)
    return SceneClicks(sam, pixels, size, side=SIDE, is_sure=is_sure, shelf=shelf, name="scene|1")


def on_scene(found: Found, size: tuple[int, int]) -> NDArray[np.bool_]:
    whole = np.zeros(size, bool)
    row, column, rows, columns = found.window
    whole[row : row + rows, column : column + columns] = found.mask_HW
    return whole


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_window_holds_the_click_and_stays_in_the_scene(height: int, width: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    clicks = SceneClicks(PLAIN, pixels, (height, width), side=SIDE, is_sure=True, shelf=None, name="s")
    row, column, rows, columns = clicks.window(Wanted(inside=((x, y),)))
    assert (rows, columns) == (min(SIDE, height), min(SIDE, width))
    assert 0 <= row <= y < row + rows <= height
    assert 0 <= column <= x < column + columns <= width


def test_a_large_box_gets_a_larger_window() -> None:
    clicks = clicks_on(Sam(TINY))
    assert clicks.window(Wanted(box=(100, 50, 300, 90)))[2:] == (300, 300)
    _, column, rows, columns = clicks.window(Wanted(box=(10, 10, 60, 60)))
    assert column <= 10
    assert column + columns >= 60
    assert (rows, columns) == (75, 75)


@pytest.mark.parametrize("xy", [(0, 0), (499, 299), (250, 130), (17, 288)])
@pytest.mark.parametrize("is_sure", [True, False])
def test_masks_lie_where_they_were_clicked(xy: tuple[int, int], is_sure: bool) -> None:
    found = clicks_on(Squares(TINY), is_sure=is_sure).ask(Wanted(inside=(xy,), text="here"))
    rows, columns = np.nonzero(on_scene(found, (300, 500)))
    assert abs(rows - xy[1]).max() <= 10
    assert abs(columns - xy[0]).max() <= 10
    assert len(rows) >= 36
    assert (found.score, found.text) == (pytest.approx(0.9), "here")


def test_a_box_larger_than_the_window_is_scaled_down_and_back() -> None:
    found = clicks_on(Squares(TINY)).ask(Wanted(box=(100, 40, 300, 200)))
    whole = on_scene(found, (300, 500))
    rows, columns = np.nonzero(whole)
    scale = found.window[2] / SIDE
    assert abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - [100, 40, 300, 200]).max() < 4 * scale
    assert not found.is_cut


def test_a_mask_that_reaches_an_inner_edge_is_told() -> None:
    clicks = clicks_on(Squares(TINY))
    window = clicks.window(Wanted(inside=((250, 150),)))
    at_edge = (window[1] + 1, window[0] + 30)
    clicks.window = lambda _: window  # type: ignore[method-assign]
    assert clicks.ask(Wanted(inside=(at_edge,))).is_cut
    assert not clicks_on(Squares(TINY)).ask(Wanted(inside=((0, 0),))).is_cut  # the scene's own edge cuts nothing


def test_near_clicks_share_what_was_seen_also_through_the_disk(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0.1)
    sam = Counting(TINY)
    clicks = clicks_on(sam, shelf=shelf)
    first = clicks.ask(Wanted(inside=((250, 150),)))
    clicks.ask(Wanted(inside=((252, 149),)))
    assert sam.looks == 1
    again = Counting(TINY)
    later = clicks_on(again, shelf=Shelf(tmp_path, 0.1)).ask(Wanted(inside=((250, 150),)))
    assert again.looks == 0
    assert np.array_equal(first.mask_HW, later.mask_HW)
    assert first.score == later.score
    other = Counting(replace(TINY, name="other"))
    elsewhere = SceneClicks(other, pixels, (300, 500), side=SIDE, is_sure=True, shelf=shelf, name="scene|2")
    elsewhere.ask(Wanted(inside=((250, 150),)))
    assert other.looks == 1  # another scene, or another model


def test_clicks_outside_count_where_they_are_seen() -> None:
    clicks = clicks_on(Sam(TINY))
    near, far = Wanted(inside=((250, 150),), outside=((260, 150),)), Wanted(inside=((250, 150),), outside=((9, 9),))
    alone = clicks.ask(Wanted(inside=((250, 150),)))
    assert clicks.ask(near).score != alone.score
    assert clicks.ask(far).window == alone.window
    assert clicks.ask(far).score == alone.score


def test_a_window_without_data() -> None:
    def nothing(window: Window) -> tuple[Tensor, NDArray[np.bool_]]:
        image, valid = pixels(window)
        return image, valid & False

    clicks = SceneClicks(Sam(TINY), nothing, (99, 99), side=SIDE, is_sure=True, shelf=None, name="empty.tif|0")
    with pytest.raises(InputError, match=r"empty\.tif has no data around the click"):
        clicks.ask(Wanted(inside=((5, 5),)))


def test_what_was_seen_belongs_to_the_bands_and_scales_it_was_seen_in(tmp_path: Path) -> None:
    """None of them is a weight."""
    scene, sensor = tmp_path / "scene.tif", load_sensor("rgb")
    scene.touch()

    def name(encoder: nn.Module) -> str:
        found = identify(as_sam(PLAIN, encoder, 5), str(scene), sensor, None)
        assert found is not None
        return found

    def scaled(mean: float) -> nn.Module:
        return nn.Sequential(AsPhotograph(mean, 1.0, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)), PLAIN.vision_encoder)

    picked = [PickedEncoder(PLAIN.vision_encoder, triple) for triple in ((0, 1, 2), (2, 1, 0), (0, 1, 2))]
    first, second, again = map(name, picked)
    assert first == again
    assert first != second
    picked[0].train()
    assert name(picked[0]) == first
    assert name(scaled(1.0)) == name(scaled(1.0))
    assert name(scaled(1.0)) != name(scaled(2.0))
    assert name(nn.Sequential(PLAIN.vision_encoder)) != name(nn.ModuleDict({"0": PLAIN.vision_encoder}))
