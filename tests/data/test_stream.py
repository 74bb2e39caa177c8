"""Streams: pure functions of (seed, epoch, index); everything comes once; windows that show nothing are redrawn."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window

from sensam.data.augment import Augment
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.layout import parse_spec
from sensam.data.sample import Sample
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError, SettingsError
from tests.data.readers.conftest import peak_memory, resident_bytes

Save = Callable[..., Path]
SENSOR = {"name": "one", "bands": [{"name": "a", "unit": "DN", "mean": 0.0, "std": 1.0}]}
STILL = Augment()


def scene(root: Path, **settings: Any) -> Dataset:
    plain = {"sensor": SENSOR, "images": "*.tif", "masks": "*.png", "classes": ["x", "y"]}
    return Dataset(parse_spec(plain | settings, base=root))


def same(one: Sample, other: Sample) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in Sample.__slots__]
    return all(np.array_equal(mine, its) if isinstance(mine, np.ndarray) else mine == its for mine, its in pairs)


def write_scene(save: Save, root: Path, height: int, width: int, key: str = "s") -> np.ndarray:  # type: ignore[type-arg]
    pixels = np.arange(height * width, dtype=np.uint16).reshape(1, height, width)
    save(root / f"{key}.tif", pixels)
    save(root / f"{key}.png", (pixels % 2).astype(np.uint8))
    return pixels


def test_a_sample_depends_on_seed_epoch_and_index_only(make_set: Any) -> None:
    small = make_set({"train": 5})
    small.settings["sensor"] = {"name": "s", "every_band": {"mean": 1000, "std": 200}, "bands": ["band_0", "band_1"]}
    dataset = open_dataset(small.yaml)
    everything = Augment(flip_rows=True, flip_columns=True, turn=True, scale=(0.5, 2), gain=0.2, offset=0.2, noise=0.1)

    def stream(seed: int = 3, epoch: int = 0) -> TrainingStream:
        return TrainingStream(dataset, "train", size=8, seed=seed, epoch=epoch, augment=everything)

    forwards = [stream()[index] for index in range(len(stream()))]
    one = stream()
    backwards = [one[index] for index in reversed(range(len(one)))][::-1]
    fresh = TrainingStream(open_dataset(small.yaml), "train", size=8, seed=3, augment=everything)
    for index, sample in enumerate(forwards):
        assert same(sample, backwards[index])
        assert same(sample, fresh[0, index])
    assert not any(same(one[0, index], one[1, index]) for index in range(len(one)))
    assert all(same(one[1, index], stream(epoch=1)[index]) for index in range(3))
    assert not any(same(stream(seed=4)[index], forwards[index]) for index in range(len(one)))


def test_every_tile_comes_once_an_epoch_in_a_new_order(make_set: Any) -> None:
    small = make_set({"train": 12})
    small.settings["sensor"] = {"name": "s", "every_band": {"mean": 1, "std": 1}, "bands": ["band_0", "band_1"]}
    stream = TrainingStream(open_dataset(small.yaml), "train", size=16)
    orders = [[stream[epoch, index].key for index in range(12)] for epoch in range(3)]
    assert all(len(set(order)) == 12 for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_scenes_come_as_often_as_windows_fit(tmp_path: Path, save: Save) -> None:
    write_scene(save, tmp_path, 32, 32, "large")
    write_scene(save, tmp_path, 8, 8, "small")
    stream = TrainingStream(scene(tmp_path), "train", size=8)
    assert Counter(sample.key for sample in stream) == {"large": 16, "small": 1}
    longer = TrainingStream(scene(tmp_path), "train", size=8, length=40)
    counts = Counter(sample.key for sample in longer)
    assert sum(counts.values()) == 40
    assert 2 <= counts["small"] <= 3  # 40 samples are two rounds of 17 and part of a third


def test_windows_cover_a_scene_and_label_follows_image(tmp_path: Path, save: Save) -> None:
    pixels = write_scene(save, tmp_path, 20, 30)
    stream = TrainingStream(scene(tmp_path), "train", size=6, length=300)
    seen = np.zeros(600, int)
    for sample in stream:
        assert sample.size == (6, 6)
        assert np.array_equal(sample.stored_CHW[0] % 2, sample.label_HW)
        seen[np.unique(sample.stored_CHW)] += 1
    assert (seen.reshape(20, 30)[4:-4, 4:-4] > 0).all()  # corners lie in one window of 375
    still = TrainingStream(scene(tmp_path), "train", size=6, augment=STILL)[0]
    first = int(still.stored_CHW[0, 0, 0])
    row, column = divmod(first, 30)
    assert np.array_equal(still.stored_CHW, pixels[:, row : row + 6, column : column + 6])


def test_samples_of_a_huge_scene_touch_only_what_they_need(tmp_path: Path) -> None:
    side = 10_000  # blocks that nobody wrote take no room; image and mask would be 900 MB
    facts = {"driver": "GTiff", "height": side, "width": side, "tiled": True, "sparse_ok": True}
    place = {"blockxsize": 256, "blockysize": 256, "crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    for name, count, dtype in (("s.tif", 4, "uint16"), ("s_mask.tif", 1, "uint8")):
        with rasterio.open(tmp_path / name, "w", count=count, dtype=dtype, **facts, **place) as file:
            file.write(np.ones((count, 256, 256), dtype), window=Window(5120, 5120, 256, 256))
    every = {"mean": 0.0, "std": 1.0, "unit": "DN"}
    sensor = {"name": "four", "every_band": every, "bands": [*"abcd"]}
    data = scene(tmp_path, sensor=sensor, masks="*_mask.tif")
    stream = TrainingStream(data, "train", size=256, augment=Augment(flip_rows=True, turn=True, scale=(0.8, 1.2)))
    before = resident_bytes()
    with peak_memory() as peak:
        samples = [stream[index] for index in range(6)]
    assert len(stream) == (side // 256) ** 2
    assert len({sample.size for sample in samples}) == 1
    assert peak() < 20_000_000
    assert resident_bytes() - before < 100_000_000  # what GDAL holds is not Python's


def test_windows_that_show_nothing_are_redrawn_the_same_way(tmp_path: Path, save: Save) -> None:
    pixels = np.full((1, 64, 64), 255, np.uint8)
    pixels[0, 50:54, 50:54] = 1
    save(tmp_path / "s.tif", pixels, nodata=255)
    save(tmp_path / "s.png", np.zeros((1, 64, 64), np.uint8))
    for labels in (True, False):
        streams = [TrainingStream(scene(tmp_path), "train", size=16, length=30, labels=labels) for _ in range(2)]
        for one, other in zip(*streams, strict=True):
            assert same(one, other)
            assert one.valid_CHW is not None
            assert one.valid_CHW.any()
            assert one.label_HW is None or np.array_equal(one.label_HW != 255, one.valid_CHW[0])


def test_an_item_that_shows_nothing_gives_way_to_another(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "dark.tif", np.zeros((1, 8, 8), np.uint8), nodata=0)
    save(tmp_path / "dark.png", np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(InputError, match=r"No window of split train has a labelled pixel that is valid in every band"):
        TrainingStream(scene(tmp_path), "train", size=8)[0]
    write_scene(save, tmp_path, 8, 8, "light")
    assert {sample.key for sample in TrainingStream(scene(tmp_path), "train", size=8)} == {"light"}


@pytest.mark.parametrize("views", ["random", "grid"])
def test_a_window_without_labels_shows_what_is_valid_in_every_band(tmp_path: Path, save: Save, views: Any) -> None:
    sensor = {"name": "two", "every_band": {"mean": 0.0, "std": 1.0, "unit": "DN"}, "bands": ["a", "b"]}

    def stream() -> TrainingStream:
        data = scene(tmp_path, sensor=sensor, masks=None, classes=())
        return TrainingStream(data, "train", size=8, length=20, labels=False, augment=STILL, views=views)

    pixels = np.full((2, 32, 32), 7, np.uint8)
    pixels[1] = 0
    save(tmp_path / "s.tif", pixels, nodata=0)
    with pytest.raises(InputError, match=r"No window of split train has a pixel that is valid in every band"):
        stream()[0]
    pixels[1, 20:24, 20:24] = 7
    save(tmp_path / "s.tif", pixels, nodata=0)
    for sample in stream():
        assert sample.valid_CHW is not None
        assert sample.valid_CHW.all(axis=0).any()


def test_unlabelled_windows_are_redrawn_only_where_labels_are_wanted(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "s.tif", np.arange(1024, dtype=np.uint16).reshape(1, 32, 32))
    label = np.full((1, 32, 32), 255, np.uint8)
    label[0, 4, 4] = 1
    save(tmp_path / "s.png", label)
    for sample in TrainingStream(scene(tmp_path), "train", size=16, length=20):
        assert sample.label_HW is not None
        assert (sample.label_HW != 255).sum() == 1
    free = TrainingStream(scene(tmp_path), "train", size=16, length=20, labels=False, augment=STILL)
    assert any(sample.stored_CHW.min() > 200 for sample in free)


def test_scale_reads_more_or_less_ground(tmp_path: Path, save: Save) -> None:
    column_HW = np.tile(np.arange(64, dtype=np.uint16), (64, 1))
    save(tmp_path / "s.tif", column_HW[None])
    save(tmp_path / "s.png", column_HW[None].astype(np.uint8) % 2)
    for scale, span in ((0.5, 32), (2.0, 8)):
        stream = TrainingStream(scene(tmp_path), "train", size=16, length=8, augment=Augment(scale=(scale, scale)))
        for sample in stream:
            assert sample.size == (16, 16)
            assert abs(float(sample.stored_CHW.max() - sample.stored_CHW.min()) - span) <= 2


def test_tiles_smaller_than_the_sample_are_magnified_within_it(tmp_path: Path, save: Save) -> None:
    write_scene(save, tmp_path, 6, 10)
    stream = TrainingStream(scene(tmp_path), "train", size=16, augment=Augment(scale=(0.5, 3.0)), length=20)
    for sample in stream:
        assert max(sample.size) <= 16
    assert len({sample.size for sample in stream}) > 5


def test_rolling_needs_the_whole_round(tmp_path: Path, save: Save) -> None:
    pixels = write_scene(save, tmp_path, 8, 32)
    around = {"sensor": SENSOR | {"geometry": "equirectangular"}}
    roll = Augment(roll=True)
    whole = TrainingStream(scene(tmp_path, **around), "train", size=32, length=10, augment=roll)
    shifts = {int(sample.stored_CHW[0, 0, 0]) for sample in whole}
    assert len(shifts) > 3
    for sample in whole:
        assert np.array_equal(np.sort(sample.stored_CHW[0, 0]), pixels[0, 0])
    part = TrainingStream(scene(tmp_path, **around), "train", size=8, length=20, augment=roll)
    assert all((np.diff(sample.stored_CHW[0, 0].astype(int)) == 1).all() for sample in part)


def test_stretched_samples_hold_the_whole_image_and_no_new_class(tmp_path: Path, save: Save) -> None:
    write_scene(save, tmp_path, 12, 20)
    for stream in (
        TrainingStream(scene(tmp_path), "train", size=16, fit="stretch", augment=STILL),
        EvaluationStream(scene(tmp_path), "train", size=16, fit="stretch"),
    ):
        assert len(stream) == 1
        assert stream[0].size == (16, 16)
        assert set(np.unique(stream[0].label_HW)) == {0, 1}
        assert stream[0].stored_CHW.max() > 230


def test_evaluation_reads_every_pixel_once_and_in_order(tmp_path: Path, save: Save) -> None:
    scenes = {key: write_scene(save, tmp_path, *size, key) for key, size in {"a": (20, 13), "b": (7, 7)}.items()}
    for size in (8, None):
        stream = EvaluationStream(scene(tmp_path), "train", size=size)
        keys = [sample.key for sample in stream]
        assert keys == sorted(keys)
        for key, pixels in scenes.items():
            joined = np.zeros_like(pixels)
            for sample, (item, (row, column, rows, columns)) in zip(stream, stream.places, strict=True):
                assert sample.key == item.key
                if item.key == key:
                    joined[:, row : row + rows, column : column + columns] = sample.stored_CHW
            assert np.array_equal(joined, pixels)
        assert len(stream) == (6 + 1 if size else 2)


def test_windows_at_edges_are_full_and_every_label_counts_once(tmp_path: Path, save: Save) -> None:
    pixels = write_scene(save, tmp_path, 20, 13)
    stream = EvaluationStream(scene(tmp_path), "train", size=8, edges="inside")
    assert {sample.size for sample in stream} == {(8, 8)}
    counted_HW = np.zeros((20, 13), int)
    for number, sample in enumerate(stream):
        row, column, rows, columns = stream.window(number)
        assert np.array_equal(sample.stored_CHW, pixels[:, row : row + rows, column : column + columns])
        assert sample.label_HW is not None
        counted_HW[row : row + rows, column : column + columns] += sample.label_HW != 255
    assert (counted_HW == 1).all()


def test_evaluation_keeps_windows_that_show_nothing(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "dark.tif", np.zeros((1, 8, 8), np.uint8), nodata=0)
    save(tmp_path / "dark.png", np.zeros((1, 8, 8), np.uint8))
    (sample,) = EvaluationStream(scene(tmp_path), "train", size=8)
    assert sample.label_HW is not None
    assert (sample.label_HW == 255).all()


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "length": 0}, {"size": 8, "seed": -1}])
def test_settings_that_make_no_sense(tmp_path: Path, save: Save, wrong: Any) -> None:
    write_scene(save, tmp_path, 8, 8)
    with pytest.raises(SettingsError, match="at least"):
        TrainingStream(scene(tmp_path), "train", **wrong)
    with pytest.raises(SettingsError, match="needs a size"):
        EvaluationStream(scene(tmp_path), "train", fit="stretch")


def test_a_split_without_samples_and_statistics_that_are_missing(tmp_path: Path, save: Save) -> None:
    write_scene(save, tmp_path, 8, 8)
    with pytest.raises(InputError, match=r"Split val of .* is empty"):
        TrainingStream(scene(tmp_path, splits={"train": "*", "val": "none"}), "val", size=8)
    bare = scene(tmp_path, sensor={"name": "one", "bands": ["a"]})
    with pytest.raises(SettingsError, match="sensam stats"):
        TrainingStream(bare, "train", size=8)[0]
