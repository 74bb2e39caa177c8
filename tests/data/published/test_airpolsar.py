"""AIR-PolSAR-Seg on tiles made in exactly its format: four polarizations, colours, no data, amplitudes in decibel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sensam.data.loader import Loader
from sensam.data.published import open_air_polsar_seg
from sensam.data.stream import EvaluationStream
from sensam.data.stretch import Stretch
from sensam.errors import InputError

COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 255, 255), (255, 255, 0), (0, 0, 0))
SIDE = 4


def amplitude(split: str, number: int, polarization: str) -> np.ndarray:  # type: ignore[type-arg]
    dice = np.random.default_rng([number, len(split), *polarization.encode()])
    return dice.integers(1, 60_000, (SIDE, SIDE)).astype(np.uint16)


def label(split: str, number: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng([number, len(split)]).integers(0, 7, (SIDE, SIDE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in {"train": 12, "test": 3}.items():
        (tmp_path / f"{split}_set/labels").mkdir(parents=True)
        for number in range(1, count + 1):
            colours = np.array(COLOURS, np.uint8)[label(split, number)]
            Image.fromarray(colours).save(tmp_path / f"{split}_set/labels/{split}_{number}_gt.png")
            for name in ("HH", "HV", "VH", "VV"):
                folder = tmp_path / f"{split}_set/images/{name}"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(amplitude(split, number, name)).save(folder / f"{split}_{number}_{name}.tiff")
    return tmp_path


def test_splits_and_validation_of_training_tiles_only(root: Path) -> None:
    dataset = open_air_polsar_seg(root, validation=5)
    keys = {split: {int(item.key) for item in items} for split, items in dataset.splits.items()}
    assert keys == {"train": {*range(1, 13)} - {1, 6, 11}, "val": {1, 6, 11}, "test": {1, 2, 3}}
    assert {item.images[0].parts[-4] for item in dataset.items("val")} == {"train_set"}
    assert len(open_air_polsar_seg(root, validation=0).items("train")) == 12


def test_decibel_and_colours(root: Path) -> None:
    dataset = open_air_polsar_seg(root)
    for split, number in (("train", 2), ("test", 3)):
        item = next(item for item in dataset.items(split) if item.key == str(number))
        raster = dataset.read(item)
        assert dataset.sensor.band_names == ("HH", "HV", "VH", "VV")
        for band, name in enumerate(("HH", "HV", "VH", "VV")):
            decibel = 20 * np.log10(amplitude(split, number, name).astype(float))
            np.testing.assert_allclose(raster.pixels_CHW[band], np.clip((decibel - 20) / 40, 0, 1), atol=1e-6)
        expected = label(split, number)
        assert np.array_equal(dataset.read_label(item), np.where(expected == 6, 255, expected))


def test_another_stretch_with_its_statistics(root: Path) -> None:
    rule = Stretch(measured="amplitude", shown="amplitude", limits=(0, 60_000))
    dataset = open_air_polsar_seg(root, stretch=rule, centre=0.5, spread=0.25)
    batch = next(iter(Loader(EvaluationStream(dataset, "test"), batch_size=1)))
    expected = (amplitude("test", 1, "HH") / 60_000 - 0.5) / 0.25
    np.testing.assert_allclose(batch.image_BCHW[0, 0].numpy(), expected, atol=1e-5)


def test_a_missing_polarization_is_named(root: Path) -> None:
    (root / "train_set/images/VH/train_7_VH.tiff").unlink()
    with pytest.raises(InputError, match=r"Tile 7 .* lacks VH"):
        open_air_polsar_seg(root)
