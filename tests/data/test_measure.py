"""Statistics of a data set equal numpy's on all its valid pixels; the file keeps everything a person wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sensam.data.dataset import open_dataset
from sensam.data.measure import measure
from sensam.data.settings_text import settings_file, write_guess, write_statistics
from sensam.errors import InputError, SettingsError

WRITTEN = """\
# Fields of our station, cut by hand.
sensor:
  name: two
  every_band: {unit: K, scale: 0.5, valid_range: [450, 700]}   # a comment that must stay
  bands: [band_0, band_1]

images: "{split}/images/*.tif"
masks: "{split}/masks/*.tif"  # checked twice
classes: [a, b]
splits: [train, val]
"""


@pytest.fixture
def folder(make_set: Any) -> Path:
    small = make_set({"train": 3, "val": 2})
    (small.folder / "dataset.yaml").write_text(WRITTEN)
    return Path(small.folder)


def test_equal_to_numpy_on_valid_pixels_of_train_only(folder: Path) -> None:
    dataset = open_dataset(folder)
    found = measure(dataset, "train")
    for place, band in enumerate(dataset.sensor.band_names):
        values = []
        for item in dataset.items("train"):
            decoded = dataset.sensor.decode(dataset.read(item))
            values.append(decoded.pixels_CHW[place][decoded.valid_CHW[place]])
        everything = np.concatenate(values).astype(np.float64)
        assert 0 < everything.size < 3 * 256
        assert found[band].pixels == everything.size
        assert np.isclose(found[band].mean, everything.mean(), rtol=1e-12)
        assert np.isclose(found[band].std, everything.std(), rtol=1e-12)
        assert (found[band].min, found[band].max) == (everything.min(), everything.max())
        for part, value in found[band].percentiles.items():
            assert np.isclose(value, np.percentile(everything, float(part[1:])), rtol=1e-12)


def test_written_into_the_file_without_touching_the_rest(folder: Path) -> None:
    path, dataset = settings_file(folder), open_dataset(folder)
    found = measure(dataset, "train")
    write_statistics(path, found, "train")
    first = path.read_text()
    assert first.startswith(WRITTEN)
    again = open_dataset(folder)
    assert [band.mean for band in again.sensor.bands] == pytest.approx([found[b].mean for b in found], rel=1e-8)
    write_statistics(path, found, "train")
    assert path.read_text() == first
    assert not list(folder.glob(".*partial"))


def test_old_statistics_are_replaced_where_they_stand(folder: Path) -> None:
    path = settings_file(folder)
    path.write_text(
        "statistics:\n  band_0: {mean: 1, std: 1, min: 0, max: 2, pixels: 1}\n  # old\n\n# about\n" + WRITTEN
    )
    write_statistics(path, measure(open_dataset(folder), "train"), "train")
    text = path.read_text()
    assert text.startswith("statistics:")
    assert text.count("statistics:") == 1
    assert "# old" not in text
    assert text.endswith(WRITTEN)
    assert open_dataset(path).spec.statistics["band_1"].pixels > 0


def test_a_band_without_a_valid_pixel_is_named(folder: Path) -> None:
    path = settings_file(folder)
    path.write_text(WRITTEN.replace("[450, 700]", "[0, 1]"))
    with pytest.raises(InputError, match=r"band_0, band_1 has no valid pixel in split train"):
        measure(open_dataset(folder), "train")
    with pytest.raises(SettingsError, match="Did you mean 'train'"):
        measure(open_dataset(folder), "trian")


def test_a_guess_is_written_once_and_reads_back(make_set: Any, tmp_path: Path) -> None:
    folder = make_set().folder
    path = write_guess(folder)
    text = path.read_text()
    assert yaml.safe_load(text)["splits"] == ["train", "val"]
    assert "# the same * as in images" in text
    assert len(open_dataset(path).labelled("train")) == 4
    with pytest.raises(InputError, match="exists"):
        write_guess(folder)
    with pytest.raises(InputError, match="is not a folder"):
        write_guess(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"sensam check .* --write"):
        settings_file(tmp_path)
