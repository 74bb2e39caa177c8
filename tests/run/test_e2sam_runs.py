"""E2SAM through whole runs: stopped in both stages it ends the same, and doing without bands is carried to maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

import sensam
from sensam.data.dataset import open_dataset
from sensam.errors import InputError
from sensam.run import train
from sensam.sam.model import Sam
from sensam.sam.weights import save_sam
from tests.methods.conftest import TINY
from tests.run.stopping import stopped_at
from tests.run.test_crash import outcome

SHORT = {"size": 32, "batch": 2, "workers": 0, "epochs": 2, "save_every": 1, "log_every": 1, "validations": 2}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sam") / "tiny"
    save_sam(Sam(TINY), folder)
    return folder


def run(fog: Path, teacher: Path, out: Path, dropout: float = 0.3, **more: Any) -> Path:
    settings = {"band_dropout": dropout, "triples": 2}
    train(fog, method="e2sam", teacher=str(teacher), out=out, settings=settings, quiet=True, track=(), **SHORT, **more)
    return out


@pytest.mark.slow
def test_stopped_in_both_stages_with_bands_missing_it_ends_the_same(
    fog: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = run(fog, teacher, tmp_path / "whole"), tmp_path / "broken"
    for _ in range(2):  # in the second epoch of inheriting, then, gone on from there, of fine-tuning
        with stopped_at(monkeypatch, 4):
            run(fog, teacher, broken, resume=True)
    assert outcome(run(fog, teacher, broken, resume=True)) == outcome(whole)


@pytest.mark.slow
def test_a_model_that_learnt_without_bands_maps_a_file_that_lacks_one(fog: Path, teacher: Path, tmp_path: Path) -> None:
    dataset = open_dataset(fog)
    raster = dataset.read(dataset.items("test")[0])
    lacking = tmp_path / "lacking.tif"
    rows, columns = raster.pixels_CHW.shape[1:]
    grid = {"transform": rasterio.Affine(10, 0, 5e5, 0, -10, 6e6), "crs": "EPSG:32632"}
    shape = {"count": 15, "height": rows, "width": columns, "dtype": "float32", "nodata": np.nan}
    with rasterio.open(lacking, "w", driver="GTiff", **shape, **grid) as file:
        file.write(raster.pixels_CHW[1:].astype(np.float32))
        file.descriptions = raster.bands[1:]
    model = sensam.load(run(fog, teacher, tmp_path / "with"))
    assert model.segmenter.takes_missing_bands
    made = sensam.predict(model, lacking, tmp_path / "map.tif")[-1]
    with rasterio.open(made) as file:
        assert (file.read(1) < len(model.classes)).all()
        assert (model.predict(lacking) < len(model.classes)).all()
    other = sensam.load(run(fog, teacher, tmp_path / "without", dropout=0.0))
    assert not other.segmenter.takes_missing_bands
    with pytest.raises(InputError, match="lacks B01"):
        sensam.predict(other, lacking, tmp_path / "other.tif")
    with pytest.raises(InputError, match="lacks B01"):
        other.predict(lacking)
