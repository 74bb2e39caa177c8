"""A data set read through any layout gives the numbers that were written, in every window of every part."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, SensamError, SettingsError

Save = Callable[..., Path]
ONE_BAND: dict[str, Any] = {"sensor": {"name": "one", "bands": [{"name": "a", "unit": "DN"}]}}


def opened(root: Path, **settings: Any) -> Dataset:
    return Dataset(parse_spec(ONE_BAND | settings, base=root))


def ramp(bands: int, height: int, width: int, dtype: str = "uint16") -> np.ndarray:  # type: ignore[type-arg]
    return np.arange(bands * height * width).reshape(bands, height, width).astype(dtype)


def test_pixels_labels_and_windows(make_set: Any) -> None:
    dataset = open_dataset(make_set().yaml)
    item = dataset.items("train")[1]
    whole = dataset.read(item)
    label_HW = dataset.read_label(item)
    assert label_HW is not None
    assert whole.bands == ("band_0", "band_1")
    assert whole.crs.to_epsg() == 32633
    part = dataset.read(item, (3, 5, 4, 6))
    assert np.array_equal(part.pixels_CHW, whole.pixels_CHW[:, 3:7, 5:11])
    part_label = dataset.read_label(item, (3, 5, 4, 6))
    assert part_label is not None
    assert np.array_equal(part_label, label_HW[3:7, 5:11])
    with pytest.raises(SensamError, match="Did you mean 'train'"):
        dataset.items("trian")


def test_bands_chooses_and_orders_by_name(tmp_path: Path, save: Save) -> None:
    pixels = ramp(3, 4, 4)
    save(tmp_path / "named.tif", pixels, names=("c", "a", "b"))
    save(tmp_path / "plain.tif", pixels)
    sensor = {"sensor": {"name": "s", "bands": [{"name": n, "unit": "DN"} for n in "abc"]}, "bands": ["b", "a"]}
    dataset = opened(tmp_path, images="*.tif", **sensor)
    named, plain = dataset.items("train")
    assert np.array_equal(dataset.read(named).pixels_CHW, pixels[[2, 1]])  # by the names in the file
    assert np.array_equal(dataset.read(plain).pixels_CHW, pixels[[1, 0]])  # by the order of the sensor


def test_files_that_lack_bands_nobody_feeds(tmp_path: Path, save: Save) -> None:
    pixels = ramp(2, 4, 4)
    save(tmp_path / "x.tif", pixels, names=("B08", "B04"))
    dataset = opened(tmp_path, images="*.tif", sensor="sentinel2-l2a", bands=["B04", "B08"])
    assert np.array_equal(dataset.read(dataset.items("train")[0]).pixels_CHW, pixels[::-1])
    short = opened(tmp_path, images="*.tif", sensor="sentinel2-l2a", bands=["B04", "B02"])
    with pytest.raises(InputError, match="lacks"):
        short.read(short.items("train")[0])


def test_instruments_are_put_together(tmp_path: Path, save: Save) -> None:
    colour, depth = ramp(3, 4, 5, "uint8"), ramp(1, 4, 5, "uint16") + 500
    save(tmp_path / "rgb/a.png", colour)
    save(tmp_path / "depth/a.png", depth)
    images = {"rgb": "rgb/*.png", "depth": "depth/*.png"}
    dataset = opened(tmp_path, images=images, sensor={"preset": "rgb-depth"})
    item = dataset.items("train")[0]
    assert np.array_equal(dataset.read(item).pixels_CHW, np.concatenate([colour, depth]))
    assert np.array_equal(dataset.read(item, (1, 2, 2, 3)).pixels_CHW[3], depth[0, 1:3, 2:5])


def test_instruments_of_other_size_are_refused(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "rgb/a.png", ramp(3, 4, 5, "uint8"))
    save(tmp_path / "depth/a.png", ramp(1, 4, 4, "uint16"))
    dataset = opened(tmp_path, images={"rgb": "rgb/*.png", "depth": "depth/*.png"}, sensor={"preset": "rgb-depth"})
    with pytest.raises(InputError, match="4 x 4"):
        dataset.read(dataset.items("train")[0])


def test_24_bits_in_three_bytes(tmp_path: Path, save: Save) -> None:
    value_HW = np.array([[0, 1, 255, 256], [65535, 65536, 2**24 - 2, 2**24 - 1]])
    packed = np.stack([value_HW & 255, value_HW >> 8 & 255, value_HW >> 16]).astype(np.uint8)
    save(tmp_path / "a.png", packed)
    plain = opened(tmp_path, images={"depth": {"files": "*.png", "unpack": "rgb24"}})
    assert np.array_equal(plain.read(plain.items("train")[0]).pixels_CHW[0], value_HW)
    scaled = opened(tmp_path, images={"depth": {"files": "*.png", "unpack": "rgb24", "scale": 0.5, "log1p": True}})
    assert np.allclose(scaled.read(scaled.items("train")[0]).pixels_CHW[0], np.log1p(value_HW / 2), rtol=1e-6)
    save(tmp_path / "b/a.png", packed[:1])
    wrong = opened(tmp_path / "b", images={"depth": {"files": "*.png", "unpack": "rgb24"}})
    with pytest.raises(InputError, match="packed in red, green and blue"):
        wrong.read(wrong.items("train")[0])


def test_arrays_in_one_file(tmp_path: Path) -> None:
    cube, label = ramp(5, 6, 4).transpose(1, 2, 0), ramp(1, 6, 4, "uint8")[0] % 2
    np.savez(tmp_path / "a.npz", cube=cube, label=label)
    files = {"images": {"files": "*.npz", "variable": "cube", "axes": "HWC"}}
    masks = {"masks": {"files": "*.npz", "variable": "label"}, "classes": ["x", "y"]}
    dataset = opened(tmp_path, **files, **masks, sensor="hyperspectral-5")
    item = dataset.items("train")[0]
    assert np.array_equal(dataset.read(item, (1, 0, 2, 4)).pixels_CHW, cube[1:3].transpose(2, 0, 1))
    assert np.array_equal(dataset.read_label(item, (1, 0, 2, 4)), label[1:3])


def test_parts_of_one_scene(tmp_path: Path, save: Save) -> None:
    pixels = ramp(1, 10, 6)
    save(tmp_path / "a.tif", pixels)
    save(tmp_path / "a_mask.png", (pixels % 2).astype(np.uint8))
    splits = {"train": {"rows": [0, 0.8]}, "val": {"rows": [0.8, 1], "columns": [0.5, 1]}}
    dataset = opened(tmp_path, images="*.tif", masks="*_mask.png", classes=["x", "y"], splits=splits)
    val = dataset.items("val")[0]
    assert dataset.size(dataset.items("train")[0]) == (8, 6)
    assert dataset.size(val) == (2, 3)
    assert np.array_equal(dataset.read(val).pixels_CHW, pixels[:, 8:, 3:])
    assert np.array_equal(dataset.read(val, (1, 1, 1, 2)).pixels_CHW, pixels[:, 9:, 4:])
    assert np.array_equal(dataset.read_label(val), pixels[0, 8:, 3:] % 2)


def test_palette_png_as_index_or_as_colours(tmp_path: Path, save: Save) -> None:
    index = np.array([[[0, 1], [2, 1]]], np.uint8)
    save(tmp_path / "a.tif", ramp(1, 2, 2))
    save(tmp_path / "a.png", index, palette={0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 0, 255, 255)})
    plain = {"images": "*.tif", "masks": "*.png"}
    by_index = opened(tmp_path, **plain, classes=["k", "r", "b"])
    assert np.array_equal(by_index.read_label(by_index.items("train")[0]), index[0])
    classes = [{"name": "b", "colour": "#0000ff"}, {"name": "r", "colour": "#ff0000"}]
    by_colour = opened(tmp_path, **plain, classes=classes, label={"codec": "palette", "ignored": ["#000000"]})
    assert by_colour.read_label(by_colour.items("train")[0]).tolist() == [[255, 1], [0, 1]]  # type: ignore[union-attr]
    (tmp_path / "a.png").unlink()
    save(tmp_path / "a.png", index)
    fresh = Dataset(by_colour.spec)
    with pytest.raises(InputError, match="no palette"):
        fresh.read_label(fresh.items("train")[0])


def test_masks_of_another_size(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a.tif", ramp(1, 8, 8))
    save(tmp_path / "a.png", np.array([[[0, 255], [255, 0]]], np.uint8))
    plain: dict[str, Any] = {"images": "*.tif", "masks": "*.png", "classes": ["x", "y"]}
    strict = opened(tmp_path, **plain)
    with pytest.raises(InputError, match=r"2 x 2 pixels, its image has 8 x 8.*label\.stretch"):
        strict.read_label(strict.items("train")[0])
    loose = opened(tmp_path, **plain, ignore=254, label={"stretch": "nearest", "divide": 128})
    label_HW = loose.read_label(loose.items("train")[0], (0, 0, 8, 5))
    assert np.array_equal(label_HW, np.kron([[0, 1], [1, 0]], np.ones((4, 4)))[:, :5])
    linear = opened(tmp_path, **plain, ignore=254, label={"stretch": "linear", "divide": 128})
    assert linear.read_label(linear.items("train")[0])[0, 0] == 0  # type: ignore[index]


def test_statistics_in_the_file_overrule_the_sensor_s(make_set: Any) -> None:
    small = make_set()
    found = {"mean": 5.0, "std": 2.0, "min": 0.0, "max": 9.0, "pixels": 10}
    small.settings["statistics"] = {"band_1": found, "band_0": found | {"std": 0.0}}
    sensor = open_dataset(small.yaml).sensor
    assert [(band.mean, band.std) for band in sensor.bands] == [(5.0, 1.0), (5.0, 2.0)]
    small.settings["statistics"] = {"band_7": found}
    with pytest.raises(SettingsError, match=r"statistics name band_7.*sensam stats"):
        open_dataset(small.yaml)


def test_images_without_a_mask_are_not_trained_on_silently(make_set: Any) -> None:
    small = make_set()
    (small.folder / "train/masks/tile_2.tif").unlink()
    dataset = open_dataset(small.yaml)
    assert len(dataset.items("train")) == 4
    with pytest.raises(InputError, match=r"1 of 4 images of split train have no mask \(first: tile_2\)"):
        dataset.labelled("train")
    assert len(dataset.labelled("val")) == 2


def test_open_takes_a_folder_a_file_or_says_what_it_needs(make_set: Any, tmp_path: Path) -> None:
    small = make_set()
    assert open_dataset(small.yaml).name == open_dataset(small.folder).name == "set"
    (small.folder / "dataset.yaml").unlink()
    assert {name: len(items) for name, items in open_dataset(small.folder).splits.items()} == {"train": 4, "val": 2}
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "scene.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"scene\.tif is one file, not a data set"):
        open_dataset(tmp_path / "scene.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images that are easy to find"):
        open_dataset(tmp_path / "empty")


def test_a_definition_may_lie_elsewhere(make_set: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = make_set()
    monkeypatch.setenv("SMALL_SETS", str(tmp_path))
    path = tmp_path / "elsewhere.yaml"
    path.write_text(yaml.safe_dump({"root": "${SMALL_SETS}/set", **small.settings}))
    assert len(open_dataset(path).items("train")) == 4
