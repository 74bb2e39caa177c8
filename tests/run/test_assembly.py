"""Shares of labels lie within each other, statistics come from the training split, and models see data as they must."""

from pathlib import Path

import numpy as np
import pytest

import sensam.data.dataset
from sensam.data.dataset import open_dataset
from sensam.data.measure import measure
from sensam.data.pairing import pair
from sensam.errors import InputError, SettingsError
from sensam.run.assembly import fit_dataset, share_labels, with_statistics


def test_smaller_shares_lie_within_larger_ones_and_seeds_differ(fog: Path) -> None:
    dataset = open_dataset(fog)
    keys = {
        share: {item.key for item in share_labels(dataset, "train", share, 0).items("train")}
        for share in (0.01, 0.2, 0.6, 1.0)
    }
    assert [len(found) for found in keys.values()] == [1, 1, 3, 5]
    assert keys[0.01] <= keys[0.2] <= keys[0.6] <= keys[1.0]
    firsts = {next(iter(share_labels(dataset, "train", 0.01, seed).items("train"))).key for seed in range(12)}
    assert len(firsts) > 1
    assert len(share_labels(dataset, "train", 0.2, 0).items("val")) == 2


def test_statistics_come_from_the_split_that_is_learnt_from(fog: Path) -> None:
    dataset = open_dataset(fog)
    bare = [band.model_copy(update={"mean": None, "std": None}) for band in dataset.sensor.bands]
    dataset = dataset.with_sensor(dataset.sensor.model_copy(update={"bands": tuple(bare)}))
    known = with_statistics(dataset, "train")
    found = measure(dataset, "train")
    assert [band.mean for band in known.sensor.bands] == [found[band.name].mean for band in known.sensor.bands]
    assert with_statistics(known, "val").sensor == known.sensor


def test_a_model_sees_its_own_bands_order_and_statistics(fog: Path) -> None:
    dataset = with_statistics(open_dataset(fog), "train")
    names = dataset.sensor.band_names
    sensor = dataset.sensor.select([names[4], names[1]])
    means = sensor.with_statistics([1.0, 2.0], [3.0, 4.0])
    seen = fit_dataset(dataset, means)
    assert seen.sensor.band_names == (names[4], names[1])
    assert seen.sensor.statistics[0].tolist() == [1.0, 2.0]
    item = seen.items("val")[0]
    np.testing.assert_array_equal(seen.read(item).pixels_CHW[1], dataset.read(item).pixels_CHW[1])


def test_files_are_listed_once(fog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = []
    monkeypatch.setattr(sensam.data.dataset, "pair", lambda spec: listings.append(spec) or pair(spec))
    dataset = open_dataset(fog)
    seen = fit_dataset(dataset, with_statistics(dataset, "train").sensor)
    assert seen.splits == dataset.splits
    assert len(listings) == 1


def test_data_that_a_model_has_not_learnt_are_refused(fog: Path) -> None:
    dataset = open_dataset(fog)
    first, *others = with_statistics(dataset, "train").sensor.bands
    sensor = dataset.sensor.model_copy(update={"bands": (first.model_copy(update={"unit": "furlong"}), *others)})
    with pytest.raises(SettingsError, match="furlong"):
        fit_dataset(dataset, sensor)
    absent = dataset.sensor.model_copy(update={"bands": (first.model_copy(update={"name": "B99", "aliases": ()}),)})
    with pytest.raises((SettingsError, InputError), match="B99"):
        fit_dataset(dataset, absent)
