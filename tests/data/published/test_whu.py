"""WHU-OPT-SAR on scenes made in exactly its format: the authors' list, codes of tens, one instrument or both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensam.data.published import open_whu_opt_sar
from sensam.data.published.whu import read_division
from sensam.errors import InputError, SettingsError

Save = Callable[..., Path]
TRAIN = [f"NH49E{number:06d}" for number in (1013, 2014, 4021, 5014, 6011)]
TEST = ["NH50E007002", "NH49E001014"]


@pytest.fixture
def root(tmp_path: Path, save: Save) -> Path:
    for number, name in enumerate((*TRAIN, *TEST)):
        dice = np.random.default_rng(number)
        save(tmp_path / f"optical/{name}.tif", dice.integers(0, 256, (4, 6, 8), np.uint8), photometric="MINISBLACK")
        save(tmp_path / f"sar/{name}.tif", dice.integers(0, 256, (1, 6, 8), np.uint8))
        save(tmp_path / f"lbl/{name}.tif", (dice.integers(0, 8, (1, 6, 8)) * 10).astype(np.uint8))
    lines = ["train:", *(f"{name}.tif" for name in TRAIN), "", "test:", *(f"{name}.tif" for name in TEST), ""]
    (tmp_path / "division.txt").write_text("\n".join(lines))
    return tmp_path


def test_splits_follow_the_list_and_validation_is_of_training_scenes(root: Path) -> None:
    dataset = open_whu_opt_sar(root, root / "division.txt", validation=2)
    keys = {split: [item.key for item in items] for split, items in dataset.splits.items()}
    assert keys == {"train": TRAIN[:3], "val": TRAIN[3:], "test": sorted(TEST)}
    assert [item.key for item in open_whu_opt_sar(root, root / "division.txt", validation=0).items("train")] == TRAIN


def test_codes_are_tens_and_nothing_is_ignored_but_background(root: Path) -> None:
    dataset = open_whu_opt_sar(root, root / "division.txt", validation=0)
    item = dataset.items("train")[0]
    assert item.mask is not None
    stored = np.asarray(Image.open(item.mask))
    label = dataset.read_label(item)
    assert np.array_equal(label, np.where(stored == 0, 255, stored.astype(int) // 10 - 1))
    assert dataset.classes[3] == "water"


@pytest.mark.parametrize(("instruments", "bands"), [(("sar",), 1), (("optical",), 4), (("optical", "sar"), 5)])
def test_instruments(root: Path, instruments: tuple[str, ...], bands: int) -> None:
    dataset = open_whu_opt_sar(root, root / "division.txt", instruments, validation=0)  # type: ignore[arg-type]
    raster = dataset.read(dataset.items("test")[0])
    assert raster.pixels_CHW.shape == (bands, 6, 8)
    assert raster.bands[-1] == ("amplitude" if "sar" in instruments else "nir")


def test_what_is_missing_or_wrong_is_named(root: Path) -> None:
    with pytest.raises(SettingsError, match="optical, sar, or both"):
        open_whu_opt_sar(root, root / "division.txt", ("radar",))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="5 of 5 training scenes"):
        open_whu_opt_sar(root, root / "division.txt", validation=5)
    (root / f"sar/{TRAIN[1]}.tif").unlink()
    with pytest.raises(InputError, match=rf"1 listed scenes .*first: {TRAIN[1]}"):
        open_whu_opt_sar(root, root / "division.txt", validation=0)


def test_lists(tmp_path: Path) -> None:
    path = tmp_path / "division.txt"
    for text, message in {
        "a.tif\n": "'a.tif' stands under neither",
        "train:\na.tif\n": "must list scenes",
        "train:\na.tif\ntest:\na.tif\n": "a is listed in both",
        "train:\na.tif\nvalid:\nb.tif\n": "'valid:' stands under neither",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_division(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_division(tmp_path / "gone.txt")
