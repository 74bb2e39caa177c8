"""Scenes on disk come back as they were."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from rasterio.errors import NotGeoreferencedWarning

from sensam.data.dataset import open_dataset
from sensam.data.synthetic import family, write
from sensam.data.synthetic.files import stored_as
from sensam.errors import InputError, SettingsError

COUNTS = {"train": 2, "val": 1}
NAMES = ("seafog", "drive", "sar:dual", "modality:depth", "panorama")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "uint16"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(name: str, dtype: str, tmp_path: Path) -> None:
    of = family(name)
    dataset = open_dataset(write(of, tmp_path / "set", seed=3, counts=COUNTS, size=(24, 40), dtype=dtype))
    assert dataset.classes == tuple(entry.name for entry in of.classes)
    assert {split: len(items) for split, items in dataset.splits.items()} == COUNTS
    index = 0
    for split in COUNTS:
        for item in dataset.labelled(split):
            scene = of.make(3, index, (24, 40))
            index += 1
            raster = dataset.sensor.decode(dataset.read(item))
            np.testing.assert_array_equal(raster.valid_CHW, scene.raster.valid_CHW)
            scale = np.array([band.scale for band in dataset.sensor.bands])[:, None, None]
            slack = 0 if dtype == "float32" else 0.51 * scale
            assert (
                np.abs(raster.pixels_CHW - scene.raster.pixels_CHW)[raster.valid_CHW]
                <= (slack + 1e-6 * np.abs(scene.raster.pixels_CHW))[raster.valid_CHW]
            ).all()
            np.testing.assert_array_equal(dataset.read_label(item), scene.label_HW)
            assert item.domain == scene.domain
            assert raster.crs == scene.raster.crs


def test_files_explain_themselves(tmp_path: Path) -> None:
    write(family("sar:dual"), tmp_path / "radar", seed=0, counts={"train": 1}, size=(32, 32), dtype="uint16")
    (path,) = (tmp_path / "radar/images/train").glob("*.tif")
    with rasterio.open(path) as file:
        assert file.descriptions == ("VV", "VH")
        assert file.dtypes == ("uint16", "uint16")
        assert file.nodata == 0
        assert file.scales[0] > 0
        assert file.crs.to_epsg() == 32650
        assert float(file.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(55500)


def test_uint16_steps_are_round_and_cover_the_range() -> None:
    for name in NAMES:
        for band in stored_as(family(name).sensor, "uint16").bands:
            low, high = band.valid_range or (0, 0)
            assert band.offset + band.scale == pytest.approx(low)
            assert band.offset + 65535 * band.scale >= high
            assert f"{band.scale:.0e}"[0] in "125"


def test_unlabelled_splits_have_no_masks_and_instances_go_along(tmp_path: Path) -> None:
    folder = tmp_path / "target"
    write(family("panorama"), folder, seed=0, counts=COUNTS, size=(16, 32), domain="perspective", unlabelled=["train"])
    assert not (folder / "masks/train").exists()
    assert len(list((folder / "masks/val").glob("*.png"))) == 1
    settings = yaml.safe_load((folder / "dataset.yaml").read_text())
    assert settings["sensor"]["geometry"] == "perspective"
    write(family("modality"), tmp_path / "heat", seed=0, counts={"train": 1}, size=(48, 48))
    (path,) = (tmp_path / "heat/instances/train").glob("*.png")
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), family("modality").make(0, 0, (48, 48)).instances_HW)


def test_a_table_lists_what_was_drawn(tmp_path: Path) -> None:
    folder = write(family("drive"), tmp_path / "set", seed=1, counts=COUNTS, size=(16, 16)).parent
    rows = list(csv.DictReader((folder / "scenes.csv").read_text().splitlines()))
    assert [row["split"] for row in rows] == ["train", "train", "val"]
    scene = family("drive").make(1, 2, (16, 16))
    assert rows[2]["domain"] == scene.domain
    assert float(rows[2]["fov_deg"]) == scene.meta["fov_deg"]


def test_nothing_is_overwritten_and_leftovers_do_not_hinder(tmp_path: Path) -> None:
    (tmp_path / ".set.partial").mkdir()
    (tmp_path / ".set.partial" / "half.tif").write_text("left by a crash")
    (tmp_path / "set").mkdir()
    write(family("sar"), tmp_path / "set", seed=0, counts={"train": 1}, size=(16, 16))
    assert not (tmp_path / ".set.partial").exists()
    assert not list((tmp_path / "set").rglob("half.tif"))
    with pytest.raises(InputError, match="not empty"):
        write(family("sar"), tmp_path / "set", seed=0, counts={"train": 1}, size=(16, 16))
    with pytest.raises(SettingsError, match="at least one scene"):
        write(family("sar"), tmp_path / "other", seed=0, counts={"train": 0}, size=(16, 16))
    with pytest.raises(SettingsError, match="Did you mean 'uint16'"):
        write(family("sar"), tmp_path / "other", seed=0, counts={"train": 1}, size=(16, 16), dtype="int16")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="unlabelled names"):
        write(family("sar"), tmp_path / "other", seed=0, counts={"train": 1}, size=(16, 16), unlabelled=["trian"])


def test_large_scenes_are_written_in_blocks(tmp_path: Path) -> None:
    write(family("sar"), tmp_path / "big", seed=0, counts={"train": 1}, size=(512, 520))
    (path,) = (tmp_path / "big").rglob("*.tif")
    with rasterio.open(path) as file:
        assert file.block_shapes == [(256, 256)]
