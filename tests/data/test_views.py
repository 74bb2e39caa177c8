"""Views: windows of a grid cover everything and come again in every epoch; what will not come again says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.data.augment import Augment, Pose
from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.loader import Loader
from sensam.data.stream import EvaluationStream, Fit, TrainingStream
from sensam.data.views import Views, grid, name_view
from sensam.errors import SettingsError
from sensam.types import RANDOM_VIEW

Save = Callable[..., Path]
STILL = Augment()
SENSOR = {"name": "one", "bands": [{"name": "a", "unit": "DN", "mean": 0.0, "std": 1.0}]}


@pytest.fixture
def scene(tmp_path: Path, save: Save) -> Dataset:
    """Two images, one of which no window divides."""
    for key, (height, width) in {"s": (14, 23), "t": (8, 8)}.items():
        pixels = np.arange(1, height * width + 1, dtype=np.uint16).reshape(1, height, width)
        save(tmp_path / f"{key}.tif", pixels)
    return Dataset(parse_spec({"sensor": SENSOR, "images": "*.tif"}, base=tmp_path))


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 25))
def test_a_grid_covers_every_pixel_with_windows_of_one_size(height: int, width: int, size: int) -> None:
    seen = np.zeros((height, width), int)
    for row, column, rows, columns in grid(height, width, size):
        assert (rows, columns) == (min(size, height), min(size, width))
        seen[row : row + rows, column : column + columns] += 1
        assert row + rows <= height
        assert column + columns <= width
    assert seen.min() >= 1


def views(stream: TrainingStream, epoch: int) -> list[tuple[str, str]]:
    return [(sample.key, sample.view) for sample in (stream[epoch, index] for index in range(len(stream)))]


def test_views_of_a_grid_come_again_in_another_order_and_show_the_same(scene: Dataset) -> None:
    stream = TrainingStream(scene, "train", size=8, labels=False, augment=STILL, views="grid")
    first, second = views(stream, 0), views(stream, 1)
    assert len(first) == 7 == len(set(first))
    assert sorted(first) == sorted(second) != first
    shown = [{(s.key, s.view): s.stored_CHW for s in (stream[epoch, i] for i in range(7))} for epoch in (0, 1)]
    assert all(np.array_equal(pixels, shown[1][name]) for name, pixels in shown[0].items())


def test_poses_are_part_of_a_view(scene: Dataset) -> None:
    stream = TrainingStream(scene, "train", size=8, labels=False, views="grid")
    seen: dict[tuple[str, str], Any] = {}
    for epoch in range(12):
        for index in range(len(stream)):
            sample = stream[epoch, index]
            before = seen.setdefault((sample.key, sample.view), sample.stored_CHW)
            assert np.array_equal(before, sample.stored_CHW)
    assert 20 < len(seen) <= 7 * 16


def test_whole_images_come_again_without_a_grid_and_windows_of_scenes_do_not(scene: Dataset) -> None:
    found = dict(views(TrainingStream(scene, "train", size=8, labels=False, augment=STILL), 0))
    assert found == {"s": RANDOM_VIEW, "t": "0,0,8,8/0"}


@pytest.mark.parametrize("augment", [Augment(gain=0.1), Augment(noise=0.1), Augment(roll=True)])
def test_light_noise_and_roll_do_not_come_again(scene: Dataset, augment: Augment) -> None:
    found = views(TrainingStream(scene, "train", size=30, labels=False, augment=augment, views="grid"), 0)
    assert {view for _, view in found} == {RANDOM_VIEW}
    assert name_view((0, 0, 4, 4), Pose(magnification=1.2), comes_again=True) == RANDOM_VIEW


@pytest.mark.parametrize("kind", ["random", "grid"])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [7, 8, 14, 23])
def test_a_stream_says_before_it_is_read_whether_all_its_views_come_again(
    scene: Dataset, kind: Views, fit: Fit, size: int
) -> None:
    changes = [STILL, Augment(turn=True), Augment(roll=True), Augment(offset=0.1), Augment(scale=(1.2, 1.2))]
    for augment in changes[: 4 if kind == "grid" else 5]:
        stream = TrainingStream(scene, "train", size=size, labels=False, augment=augment, fit=fit, views=kind)
        assert stream.comes_again == (RANDOM_VIEW not in {view for _, view in views(stream, 0)}), augment


def test_a_grid_has_no_scales(scene: Dataset) -> None:
    with pytest.raises(SettingsError, match="scale"):
        TrainingStream(scene, "train", size=8, labels=False, augment=Augment(scale=(0.5, 2)), views="grid")


def test_views_travel_with_their_batch(scene: Dataset) -> None:
    stream = EvaluationStream(scene, "train", size=8, labels=False)
    batches = list(Loader(stream, batch_size=3))
    found = [pair for batch in batches for pair in zip(batch.keys, batch.views, strict=True)]
    expected = [(item.key, f"{','.join(map(str, window))}/0") for item, window in stream.places]
    assert found == expected
    assert batches[0].to("cpu").views == batches[0].views
