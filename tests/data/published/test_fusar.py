"""FUSAR-Map on tiles made in exactly its format: pairs by number, published and strict splits, colours."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sensam.data.loader import Loader
from sensam.data.published import open_fusar_map
from sensam.data.published.fusar import CLASSES, TEST, TILES, WUHAN
from sensam.data.stream import EvaluationStream
from sensam.errors import InputError, SettingsError

Save = Callable[..., Path]
COLOURS = np.array([tuple(bytes.fromhex(colour[1:])) for _, colour in CLASSES], np.uint8)


def place(number: int) -> str:
    """Names whose order is another one than that of the numbers."""
    town = "Wuhan" if number in WUHAN else ("Zhuhai" if number % 2 else "Anqing")
    return f"{town}_{number % 8:02d}_01_{number // 30:02d}_{number % 30:02d}"


def label(number: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(number).integers(0, 5, (2, 2))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 610 tiles, of four pixels."""
    from PIL import Image

    root = tmp_path_factory.mktemp("FUSAR-Map")
    for folder in ("SAR_1024", "LAB_1024", "OPT_1024"):
        (root / folder).mkdir()
    for number in TILES:
        grey = np.full((2, 2), number % 256, np.uint8)
        Image.fromarray(grey).save(root / f"SAR_1024/{place(number)}_SAR_{number:03d}.tif")
        # The label's name need not begin as the image's: the number alone counts.
        Image.fromarray(COLOURS[label(number)]).save(root / f"LAB_1024/{place(number)[::-1]}_Label_{number:03d}.tif")
    return root


def numbers(dataset: object, split: str) -> set[int]:
    return {int(item.key) for item in dataset.items(split)}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_published_split(tiles: Path) -> None:
    dataset = open_fusar_map(tiles)
    train, val, test = (numbers(dataset, split) for split in ("train", "val", "test"))
    assert test == set(range(303, 383))
    assert len(test) == 80
    assert len(train | val) == 530
    assert not train & val
    assert not (train | val) & test
    assert 50 <= len(val) <= 65
    assert numbers(open_fusar_map(tiles, validation=False), "train") == train | val
    assert "val" not in open_fusar_map(tiles, validation=False).splits


def test_the_strict_split_trains_on_no_tile_of_wuhan(tiles: Path) -> None:
    dataset = open_fusar_map(tiles, "strict")
    learnt = numbers(dataset, "train") | numbers(dataset, "val")
    assert learnt == set(TILES) - set(WUHAN)
    assert numbers(dataset, "test") == set(TEST)  # as published, so that scores compare
    assert len(numbers(dataset, "beside")) == 90
    with pytest.raises(SettingsError, match="Did you mean 'strict'"):
        open_fusar_map(tiles, "strikt")  # type: ignore[arg-type]


def test_image_and_label_belong_together_by_number(tiles: Path) -> None:
    dataset = open_fusar_map(tiles)
    assert dataset.classes == ("building", "vegetation", "water", "road", "background")
    for item in dataset.items("test")[::20]:
        number = int(item.key)
        assert (dataset.read(item).pixels_CHW == number % 256).all()
        assert np.array_equal(dataset.read_label(item), label(number))


@pytest.mark.slow
def test_fed_as_a_grey_photograph(tiles: Path) -> None:
    (batch,) = Loader(EvaluationStream(open_fusar_map(tiles), "test"), batch_size=80)
    stored = np.array([int(key) % 256 for key in batch.keys])
    np.testing.assert_allclose(batch.image_BCHW[:, 0, 0, 0], (stored / 255 - 0.449) / 0.226, atol=1e-5)


@pytest.mark.parametrize(
    ("folder", "message"), [("SAR_1024", r"1 of 610 tiles .*first: 100"), ("LAB_1024", r"SAR_100\.tif has no label")]
)
def test_a_tile_that_is_missing_is_named(tiles: Path, folder: str, message: str) -> None:
    path = next((tiles / folder).glob("*_100.tif"))
    aside = path.rename(tiles / path.name)
    try:
        with pytest.raises(InputError, match=message):
            open_fusar_map(tiles)
    finally:
        aside.rename(path)


@pytest.mark.parametrize("name", ["SAR_1024/Wuhan_SAR_611.tif", "LAB_1024/Wuhan_Label_700.tif"])
def test_a_tile_too_many_is_named(tiles: Path, save: Save, name: str) -> None:
    path = save(tiles / name, np.zeros((1, 2, 2), np.uint8))
    try:
        with pytest.raises(InputError, match=r"(611|700).* is no tile of FUSAR-Map"):
            open_fusar_map(tiles)
    finally:
        path.unlink()


def test_a_file_without_a_number_is_named(tiles: Path, save: Save) -> None:
    path = save(tiles / "SAR_1024/overview.tif", np.zeros((1, 2, 2), np.uint8))
    try:
        with pytest.raises(InputError, match=r"overview\.tif has no key"):
            open_fusar_map(tiles)
    finally:
        path.unlink()


def test_two_files_of_one_number_are_named(tiles: Path, save: Save) -> None:
    path = save(tiles / "SAR_1024/Other_SAR_100.tif", np.zeros((1, 2, 2), np.uint8))
    try:
        with pytest.raises(InputError, match="have the same key '100'"):
            open_fusar_map(tiles)
    finally:
        path.unlink()


def test_a_colour_of_no_class_is_an_error(tiles: Path, save: Save) -> None:
    path = next((tiles / "LAB_1024").glob("*_303.tif"))
    before = path.read_bytes()
    save(path, np.full((3, 2, 2), 34, np.uint8))
    try:
        dataset = open_fusar_map(tiles)
        with pytest.raises(InputError, match="#222222"):
            dataset.read_label(dataset.items("test")[0])
    finally:
        path.write_bytes(before)
