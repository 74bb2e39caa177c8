"""DensePASS, WildPASS and Stanford2D3D on files made in exactly their format."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sensam.data.published import open_densepass, open_stanford2d3d, open_wildpass
from sensam.data.published.densepass import TO_13
from sensam.data.published.stanford2d3d import EIGHT, NAMES
from sensam.data.published.wildpass import CLASSES
from sensam.errors import InputError, SettingsError

Save = Callable[..., Path]
PHOTO = np.full((3, 4, 20), 128, np.uint8)
TRAIN_IDS = np.tile(np.arange(20, dtype=np.uint8), (4, 1))
TRAIN_IDS[:, 19] = 255


def make_densepass(root: Path, save: Save, image: str, mask: str, count: int = 3) -> Path:
    for number in range(count):
        save(root / f"leftImg8bit/val/{image.format(number)}", PHOTO)
        save(root / f"gtFine/val/{mask.format(number)}", TRAIN_IDS[None])
        save(root / f"gtFine/val/{number}_color.png", PHOTO)  # for looking at: no mask
        save(root / f"leftImg8bit/train/{number}_.jpg", PHOTO)
    return root


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}_.png", "{}_labelTrainIds.png"),
        ("{}_leftImg8bit.png", "{}_gtFine_labelTrainIds.png"),
        ("{}.png", "{}_labelTrainIds.png"),
    ],
)
def test_densepass_however_its_files_are_named(tmp_path: Path, save: Save, image: str, mask: str) -> None:
    dataset = open_densepass(make_densepass(tmp_path, save, image, mask), labelled=3)
    assert [item.key for item in dataset.items("test")] == ["0", "1", "2"]
    assert len(dataset.items("train")) == 3
    assert all(item.mask is None for item in dataset.items("train"))
    assert dataset.sensor.geometry == "equirectangular"
    label = dataset.read_label(dataset.items("test")[0])
    assert np.array_equal(label, TRAIN_IDS)
    assert dataset.classes[11:14] == ("person", "rider", "car")


def test_nineteen_classes_become_thirteen(tmp_path: Path, save: Save) -> None:
    root = make_densepass(tmp_path, save, "{}_.png", "{}_labelTrainIds.png")
    dataset = open_densepass(root, 13, labelled=3)
    label = dataset.read_label(dataset.items("test")[0])
    assert label is not None
    assert label[0].tolist() == [*TO_13, 255]
    assert len(dataset.classes) == 13
    assert dataset.classes[11:] == ("person", "car")
    assert {name: TO_13[number] for number, name in enumerate(open_densepass(root, labelled=3).classes)} == {
        **{name: number for number, name in enumerate(dataset.classes)},
        "rider": 11,
        "truck": 12,
        "bus": 12,
        "motorcycle": 12,
        "bicycle": 12,
        "train": 255,
    }


def test_densepass_has_a_hundred_labelled_images(tmp_path: Path, save: Save) -> None:
    root = make_densepass(tmp_path, save, "{}_.png", "{}_labelTrainIds.png")
    with pytest.raises(InputError, match="has 3 labelled images, DensePASS has 100"):
        open_densepass(root)
    with pytest.raises(SettingsError, match="19 classes, or the 13"):
        open_densepass(root, 8)  # type: ignore[arg-type]


def test_wildpass_keeps_its_eight_of_another_models_classes(tmp_path: Path, save: Save) -> None:
    stored = np.tile(np.arange(26, dtype=np.uint8), (4, 1))
    save(tmp_path / "leftImg8bit/val/cs/berlin_1.png", np.full((3, 4, 26), 9, np.uint8))
    save(tmp_path / "gtFine/val/cs/berlin_1.png", stored[None])
    dataset = open_wildpass(tmp_path)
    label = dataset.read_label(dataset.items("test")[0])
    assert label is not None
    expected = np.full(26, 255)
    for number, (_, _, place) in enumerate(CLASSES):
        expected[place] = number
    assert label[0].tolist() == expected.tolist()
    assert len(dataset.classes) == 8


@pytest.fixture
def building(tmp_path: Path, save: Save) -> Path:
    """One panorama an area, whose masks show one thing of every class, then of none."""
    things = ["<UNK>", *(f"{name}_1_office_{number}_1" for number, name in enumerate(NAMES)), "wall_2_office_1_1"]
    things += [f"clutter_{number}_hallway_1_2" for number in range(300)]  # numbers of more than one byte
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/semantic_labels.json").write_text(json.dumps(things))
    numbers = np.array([*range(1, 14), 14, 310])
    rgb = np.stack([numbers * 0, numbers >> 8, numbers & 255])
    unknown = np.array([[13, 13, 13], [0, 0, 0]]).T
    row = np.concatenate([rgb, unknown], 1).astype(np.uint8)
    for area in ("1", "2", "3", "4", "5a", "5b", "6"):
        where = tmp_path / f"area_{area}/pano"
        save(where / f"rgb/camera_{area}_rgb.png", np.full((3, 2, 17), 99, np.uint8))
        save(where / f"semantic/camera_{area}_semantic.png", np.repeat(row[:, None], 2, 1))
        save(where / f"depth/camera_{area}_depth.png", np.array([[[512] * 16 + [65535]] * 2], np.uint16))
    return tmp_path


def test_stanford_labels_are_places_in_a_list_of_things(building: Path) -> None:
    thirteen = open_stanford2d3d(building, classes=13)
    label = thirteen.read_label(thirteen.items("test")[0])
    assert label is not None
    assert label[0].tolist() == [*range(13), NAMES.index("wall"), NAMES.index("clutter"), 255, 255]
    eight = open_stanford2d3d(building)
    label = eight.read_label(eight.items("test")[0])
    assert label is not None
    names = [NAMES[place] for place in range(13)]
    assert label[0, :13].tolist() == [EIGHT.index(name) if name in EIGHT else 255 for name in names]


def test_stanford_folds_are_areas(building: Path) -> None:
    for fold, areas in {1: {"5a", "5b"}, 2: {"2", "4"}, 3: {"1", "3", "6"}}.items():
        dataset = open_stanford2d3d(building, fold)  # type: ignore[arg-type]
        assert {item.key.split("/")[0] for item in dataset.items("test")} == areas
        assert len(dataset.items("train")) == 7 - len(areas)


def test_stanford_depth_is_in_metres_with_holes(building: Path) -> None:
    dataset = open_stanford2d3d(building, depth=True)
    assert dataset.sensor.band_names == ("red", "green", "blue", "depth")
    decoded = dataset.sensor.decode(dataset.read(dataset.items("train")[0]))
    assert decoded.pixels_CHW[3, 0, 0] == pytest.approx(1.0)
    assert not decoded.valid_CHW[3, 0, 16]
    assert decoded.valid_CHW[3, 0, :16].all()


def test_stanford_mistakes(building: Path) -> None:
    with pytest.raises(SettingsError, match="There is no fold of Stanford2D3D named '4'"):
        open_stanford2d3d(building, 4)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="number of classes"):
        open_stanford2d3d(building, classes=9)  # type: ignore[arg-type]
    (building / "assets/semantic_labels.json").write_text("{}")
    with pytest.raises(InputError, match="must be a list of names"):
        open_stanford2d3d(building)
    (building / "assets/semantic_labels.json").unlink()
    with pytest.raises(InputError, match="what the numbers in the masks mean"):
        open_stanford2d3d(building)
