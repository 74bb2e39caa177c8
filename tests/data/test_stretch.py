"""Radar in a data set: one rule for every image, in every type of number, whole or in windows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.loader import Loader
from sensam.data.measure import measure_limits
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.data.stretch import Stretch
from sensam.errors import InputError, SettingsError
from tests.data.readers.conftest import ARRAY_FILES, save_array

Save = Callable[..., Path]
SIDE = 16


def amplitudes(seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Rising from 1 to 60000, shuffled: what 8 bits cannot hold."""
    values = np.geomspace(1, 60_000, SIDE * SIDE)
    return np.random.default_rng(seed).permutation(values).reshape(1, SIDE, SIDE)


def written(folder: Path, save: Save, dtype: str, stretch: dict[str, Any] | None, **band: Any) -> Dataset:
    for split, seed in (("train", 0), ("test", 1)):
        stored = amplitudes(seed)
        stored = stored * np.exp(1j * np.arange(SIDE)) if dtype.startswith("complex") else stored
        save(folder / f"images/{split}/a_{split}.tif", stored.astype(dtype))
        save(folder / f"masks/{split}/a_{split}.png", (amplitudes(seed) > 100).astype(np.uint8))
    facts = {"mean": 0.0, "std": 1.0, "unit": "DN", **band}
    files: dict[str, Any] = {"files": "images/{split}/*.tif"}
    settings = {
        "sensor": {"name": "radar", "bands": [{"name": "VV", **facts}]},
        "images": files if stretch is None else {**files, "stretch": stretch},
        "masks": "masks/{split}/*.png",
        "classes": ["dark", "bright"],
        "splits": ["train", "test"],
    }
    return Dataset(parse_spec(settings, base=folder))


def fed(dataset: Dataset, split: str) -> np.ndarray:  # type: ignore[type-arg]
    (batch,) = Loader(EvaluationStream(dataset, split), batch_size=1)
    return batch.image_BCHW.numpy()[0]


@pytest.mark.parametrize(
    ("dtype", "measured"), [("uint16", "amplitude"), ("float32", "amplitude"), ("complex64", "complex")]
)
@pytest.mark.parametrize("shown", ["amplitude", "intensity", "db"])
def test_every_type_means_the_same_in_train_and_test(
    tmp_path: Path, save: Save, dtype: str, measured: str, shown: str
) -> None:
    limits = {"amplitude": (0, 60_000), "intensity": (0, 3.6e9), "db": (0, 100)}[shown]
    dataset = written(tmp_path, save, dtype, {"measured": measured, "shown": shown, "limits": limits}, unit="")
    for split, seed in (("train", 0), ("test", 1)):
        stored = amplitudes(seed).astype("uint16" if dtype == "uint16" else "float64")
        power = {"amplitude": stored, "intensity": stored.astype(float) ** 2, "db": 20 * np.log10(stored)}[shown]
        np.testing.assert_allclose(fed(dataset, split), power / limits[1], atol=2e-6)


@pytest.mark.parametrize("suffix", ARRAY_FILES)
def test_complex_numbers_of_every_reader_reach_the_batch(tmp_path: Path, suffix: str) -> None:
    stored_HW = (amplitudes(0)[0] * np.exp(1j * np.arange(SIDE))).astype(np.complex64)
    path = tmp_path / f"images/train/a{suffix}"
    path.parent.mkdir(parents=True)
    save_array(path, "VV", stored_HW)
    settings = {
        "sensor": {"name": "radar", "bands": [{"name": "VV", "unit": "dB", "mean": 40.0, "std": 20.0}]},
        "images": {"files": f"images/{{split}}/*{suffix}", "stretch": {"measured": "complex", "shown": "db"}},
        "splits": ["train"],
    }
    (batch,) = Loader(
        EvaluationStream(Dataset(parse_spec(settings, base=tmp_path)), "train", labels=False), batch_size=1
    )
    decibels_HW = 20 * np.log10(np.abs(stored_HW.astype(np.complex128)))
    np.testing.assert_allclose(batch.image_BCHW[0, 0].numpy(), (decibels_HW - 40) / 20, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_without_a_stretch_numbers_arrive_as_they_are(tmp_path: Path, save: Save, dtype: str) -> None:
    dataset = written(tmp_path, save, dtype, None)
    assert np.array_equal(fed(dataset, "train"), amplitudes(0).astype(dtype).astype(np.float32))


def test_a_thousand_and_sixty_thousand_stay_distinct(tmp_path: Path, save: Save) -> None:
    stretch = {"shown": "db", "limits": (20.0, 100.0)}
    pixels = np.array([[[1000, 60_000], [255, 65_535]]], np.uint16)
    save(tmp_path / "images/train/a.tif", pixels)
    settings = {
        "sensor": {"name": "radar", "bands": [{"name": "VV", "mean": 0.0, "std": 1.0}]},
        "images": {"files": "images/{split}/*.tif", "stretch": stretch},
        "splits": ["train"],
    }
    dataset = Dataset(parse_spec(settings, base=tmp_path))
    found = dataset.read(dataset.items("train")[0]).pixels_CHW
    assert len(np.unique(found)) == 4
    np.testing.assert_allclose(found, (20 * np.log10(pixels.astype(float)) - 20) / 80, atol=1e-6)


def test_windows_are_stretched_as_the_whole(tmp_path: Path, save: Save) -> None:
    dataset = written(tmp_path, save, "uint16", {"shown": "db", "limits": (0, 100)}, unit="")
    item = dataset.items("train")[0]
    whole, part = dataset.read(item), dataset.read(item, (3, 5, 8, 7))
    assert np.array_equal(part.pixels_CHW, whole.pixels_CHW[:, 3:11, 5:12])
    for sample in TrainingStream(dataset, "train", size=8, length=4):
        assert np.array_equal(sample.stored_CHW[0] > 0.4, sample.label_HW == 1)  # 40 dB is amplitude 100


def test_nothing_has_no_logarithm(tmp_path: Path, save: Save) -> None:
    pixels = np.array([[[0, 10], [100, 0]]], np.uint16)
    save(tmp_path / "images/train/a.tif", pixels)
    settings = {
        "sensor": {"name": "radar", "bands": [{"name": "VV", "unit": "dB", "mean": 0.0, "std": 1.0}]},
        "images": {"files": "images/{split}/*.tif", "stretch": {"shown": "db"}},
        "splits": ["train"],
    }
    dataset = Dataset(parse_spec(settings, base=tmp_path))
    raster = dataset.sensor.decode(dataset.read(dataset.items("train")[0]))
    assert raster.valid_CHW.tolist() == [[[False, True], [True, False]]]
    assert raster.pixels_CHW.tolist() == [[[0, 20], [40, 0]]]


def test_limits_are_percentiles_of_the_training_split_alone(tmp_path: Path, save: Save) -> None:
    dataset = written(tmp_path, save, "uint16", {"shown": "db"}, unit="dB")
    rule = measure_limits(dataset, low=2, high=98)
    decibels = 20 * np.log10(amplitudes(0).astype(np.uint16))
    assert rule.limits == pytest.approx(tuple(np.percentile(decibels, (2, 98))), rel=0.02)
    assert (rule.measured, rule.shown) == ("amplitude", "db")
    clipped = written(tmp_path / "again", save, "uint16", rule.model_dump(), unit="")
    assert fed(clipped, "test").min() == 0
    assert fed(clipped, "test").max() == 1
    with pytest.raises(InputError, match=r"clipped to .* already"):
        measure_limits(clipped)
    linear = measure_limits(written(tmp_path / "plain", save, "uint16", None))
    assert linear.shown == "amplitude"
    assert linear.limits is not None
    assert linear.limits[1] > 50_000


def test_rules_that_make_no_sense() -> None:
    base: dict[str, Any] = {"sensor": {"name": "radar", "bands": ["VV"]}, "splits": ["train"]}
    for stretch, message in (
        ({"measured": "amplitude"}, "needs limits, or no stretch"),
        ({"shown": "db", "limits": (60, 20)}, "limits must rise"),
        ({"shown": "dB"}, "shown"),
    ):
        with pytest.raises(SettingsError, match=message):
            parse_spec({**base, "images": {"files": "{split}/*.tif", "stretch": stretch}}, base=Path())
    files = {"files": "{split}/*.png", "stretch": {"shown": "db"}, "unpack": "rgb24"}
    with pytest.raises(SettingsError, match="give one of them"):
        parse_spec({**base, "images": files}, base=Path())
    with pytest.raises(SettingsError, match="key is a regular expression with a group"):
        parse_spec({**base, "images": {"files": "{split}/*.png", "key": "[0-9"}}, base=Path())
    masked = {**base, "images": "{split}/i/*.tif", "masks": {"files": "{split}/*.tif", "stretch": {"shown": "db"}}}
    with pytest.raises(SettingsError, match="not unpacked, nor stretched"):
        parse_spec({**masked, "classes": ["a", "b"]}, base=Path())


def test_real_numbers_are_no_complex_ones(tmp_path: Path, save: Save) -> None:
    dataset = written(tmp_path, save, "uint16", {"measured": "complex", "shown": "db"}, unit="dB")
    with pytest.raises(InputError, match="holds no complex numbers"):
        dataset.read(dataset.items("train")[0])


def test_it_is_a_value() -> None:
    assert Stretch(shown="db") == Stretch(shown="db")
    assert Stretch(shown="db").planes(("VV",)) == ("VV",)
    assert Stretch(measured="complex").planes(("VV",)) == ("VV.real", "VV.imag")
