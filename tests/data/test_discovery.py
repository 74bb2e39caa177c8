"""A plain folder: images, masks, splits, sensor and classes are found by looking; what cannot be known is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.discovery import guess
from sensam.errors import InputError

Save = Callable[..., Path]
IMAGE = np.arange(64, dtype=np.uint16).reshape(1, 8, 8)


def label(*values: int) -> NDArray[np.uint8]:
    return np.resize(np.array(values, np.uint8), (1, 8, 8))


def write(save: Save, root: Path, pattern: str, keys: str, pixels: NDArray[Any], **facts: Any) -> None:
    for key in keys:
        save(root / pattern.format(key), pixels, **facts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "masks", "patterns"),
    [
        ("images/{}.tif", "masks/{}.png", ("images/*.tif", "masks/*.png")),
        ("images/train/{}.tif", "masks/train/{}.png", ("images/{split}/*.tif", "masks/{split}/*.png")),
        ("train/img/{}.tif", "train/labels/{}.png", ("{split}/img/*.tif", "{split}/labels/*.png")),
        ("images/{}.tif", "masks/{}_mask.png", ("images/*.tif", "masks/*_mask.png")),
        ("images/im_{}.tif", "labels/lab_im_{}_v2.png", ("images/*.tif", "labels/lab_*_v2.png")),
    ],
)
def test_layouts(tmp_path: Path, save: Save, images: str, masks: str, patterns: tuple[str, str]) -> None:
    write(save, tmp_path, images, "abcdef", IMAGE)
    write(save, tmp_path, masks, "abcdef", label(0, 1))
    found = guess(tmp_path)
    assert (found["images"], found["masks"]) == patterns
    dataset = open_dataset(tmp_path)
    assert not dataset.pairing.without_mask
    assert not dataset.pairing.without_image
    assert sum(len(items) for items in dataset.splits.values()) == 6


def test_splits_are_folders_shares_or_parts(tmp_path: Path, save: Save) -> None:
    for split in ("test", "val", "train", "extra"):
        write(save, tmp_path / "folders", f"images/{split}/{{}}.tif", "a", IMAGE)
    assert guess(tmp_path / "folders")["splits"] == ["train", "val", "test", "extra"]
    write(save, tmp_path / "many", "images/{}.tif", "abcdefghij", IMAGE)
    assert {name: len(items) for name, items in open_dataset(tmp_path / "many").splits.items()} == {
        "train": 8,
        "val": 2,
    }
    write(save, tmp_path / "one", "images/{}.tif", "a", IMAGE)
    one = open_dataset(tmp_path / "one")
    assert [one.size(one.items(split)[0]) for split in ("train", "val")] == [(6, 8), (2, 8)]


def classes_of(tmp_path: Path, save: Save, mask: NDArray[Any], **facts: Any) -> Dataset:
    write(save, tmp_path, "images/{}.tif", "abcde", IMAGE)
    write(save, tmp_path, "masks/{}.png", "abcde", mask, **facts)
    return open_dataset(tmp_path)


def test_classes_from_numbers(tmp_path: Path, save: Save) -> None:
    dataset = classes_of(tmp_path, save, label(0, 1, 2, 255))
    assert dataset.classes == ("class_0", "class_1", "class_2")
    assert dataset.read_label(dataset.items("train")[0])[0].tolist() == [0, 1, 2, 255] * 2  # type: ignore[index]


def test_classes_from_codes(tmp_path: Path, save: Save) -> None:
    dataset = classes_of(tmp_path, save, label(10, 40, 80))
    assert dataset.classes == ("class_10", "class_40", "class_80")
    assert dataset.read_label(dataset.items("train")[0])[0, :3].tolist() == [0, 1, 2]  # type: ignore[index]


def test_black_and_white_masks(tmp_path: Path, save: Save) -> None:
    dataset = classes_of(tmp_path, save, label(0, 255))
    assert dataset.classes == ("background", "foreground")
    assert dataset.read_label(dataset.items("train")[0])[0, :2].tolist() == [0, 1]  # type: ignore[index]


def test_colours_become_classes(tmp_path: Path, save: Save) -> None:
    mask = np.concatenate([label(0, 255), label(0, 0), label(255, 0)])
    dataset = classes_of(tmp_path, save, mask)
    assert dataset.colours == ((0, 0, 255), (255, 0, 0))
    assert dataset.read_label(dataset.items("train")[0])[0, :2].tolist() == [0, 1]  # type: ignore[index]


def test_the_colours_of_a_palette_are_kept(tmp_path: Path, save: Save) -> None:
    palette = {0: (10, 20, 30, 255), 1: (200, 100, 0, 255)}
    dataset = classes_of(tmp_path, save, label(0, 1), palette=palette)
    assert dataset.colours == ((10, 20, 30), (200, 100, 0))


def test_sensors_from_band_names(tmp_path: Path, save: Save) -> None:
    sky = np.zeros((4, 8, 8), np.uint16)
    write(save, tmp_path / "s2", "images/{}.tif", "a", sky, names=("B04", "B08", "B03", "B02"))
    found = guess(tmp_path / "s2")["sensor"]
    assert found["preset"].startswith("sentinel2")
    assert found["bands"] == ["B04", "B08", "B03", "B02"]
    write(save, tmp_path / "photo", "images/{}.png", "a", np.zeros((3, 8, 8), np.uint8))
    assert guess(tmp_path / "photo")["sensor"] == "rgb"
    write(save, tmp_path / "own", "images/{}.tif", "a", sky, names=("alpha 1", "alpha 2", "x", "y"))
    own = guess(tmp_path / "own")["sensor"]
    assert own["name"] == "own"  # as the folder, and not as a band
    assert [band["name"] for band in own["bands"]] == ["alpha 1", "alpha 2", "x", "y"]
    write(save, tmp_path / "none", "images/{}.tif", "a", sky[:2])
    assert open_dataset(tmp_path / "none").sensor.band_names == ("band_0", "band_1")


def test_images_without_masks(tmp_path: Path, save: Save) -> None:
    write(save, tmp_path, "{}.tif", "abc", IMAGE)
    assert "masks" not in guess(tmp_path)
    assert len(open_dataset(tmp_path).items("train")) == 3


def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path, save: Save) -> None:
    write(save, tmp_path / "names", "images/{}.tif", "abc", IMAGE)
    write(save, tmp_path / "names", "masks/m{}.png", "xyz", label(0, 1))
    with pytest.raises(InputError, match=r"share no name with images.*same \* in"):
        guess(tmp_path / "names")
    write(save, tmp_path / "swapped", "masks/{}.png", "abcde", np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    write(save, tmp_path / "swapped", "images/{}.tif", "abcde", IMAGE)
    with pytest.raises(InputError, match=r"more than 64 different values.*swapped"):
        guess(tmp_path / "swapped")
    write(save, tmp_path / "fractions", "images/{}.tif", "a", IMAGE)
    write(save, tmp_path / "fractions", "masks/{}.tif", "a", IMAGE.astype(np.float32) / 7)
    with pytest.raises(InputError, match="holds fractions"):
        guess(tmp_path / "fractions")
    (tmp_path / "arrays/images").mkdir(parents=True)
    np.savez(tmp_path / "arrays/images/a.npz", cube=np.zeros((9, 9, 2)), labels=np.zeros((9, 9)))
    with pytest.raises(InputError, match=r"Say which one is the image, with key \(in a dataset\.yaml: variable\)"):
        guess(tmp_path / "arrays")


def test_polygons_of_one_text_attribute(tmp_path: Path, save: Save) -> None:
    from pyogrio.raw import write as write_vector
    from rasterio.crs import CRS
    from rasterio.transform import Affine
    from shapely import to_wkb
    from shapely.geometry import box

    place = {"crs": CRS.from_epsg(32633), "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    save(tmp_path / "images/a.tif", IMAGE, **place)
    shapes = np.array([to_wkb(box(500_000, 4_999_980, 500_040, 5_000_000))], object)
    (tmp_path / "labels").mkdir()
    path, kinds = tmp_path / "labels/ground.gpkg", np.array(["water"], object)
    write_vector(path, shapes, [kinds], ["kind"], geometry_type="Polygon", crs="EPSG:32633", driver="GPKG")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("background", "water")
    train = dataset.read_label(dataset.items("train")[0])
    assert train is not None
    assert train.sum() == 8
