"""E2SAM through whole runs: stopped in both stages it ends the same, and doing without bands is carried to maps."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import sensam
from sensam.data.dataset import open_dataset
from sensam.data.synthetic import family, write
from sensam.errors import InputError, SettingsError
from sensam.run import train
from sensam.train.loop import StageRun
from tests.run.stopping import stopped_at
from tests.run.test_crash import outcome

SHORT = {"size": 32, "batch": 2, "workers": 0, "epochs": 2, "save_every": 1, "log_every": 1, "validations": 2}


def run(fog: Path, tiny_sam: Path, out: Path, dropout: float = 0.3, **more: Any) -> Path:
    settings = {"band_dropout": dropout, "triples": 2}
    train(fog, method="e2sam", teacher=str(tiny_sam), out=out, settings=settings, quiet=True, track=(), **SHORT, **more)
    return out


@pytest.mark.slow
def test_stopped_in_both_stages_with_bands_missing_it_ends_the_same(
    fog: Path, tiny_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = run(fog, tiny_sam, tmp_path / "whole"), tmp_path / "broken"
    for _ in range(2):  # in the second epoch of inheriting, then, gone on from there, of fine-tuning
        with stopped_at(monkeypatch, 4):
            run(fog, tiny_sam, broken, resume=True)
    assert outcome(run(fog, tiny_sam, broken, resume=True)) == outcome(whole)


@pytest.mark.slow
def test_discrepancies_of_maps_learn_and_judge_where_a_batch_would_be_left_with_one(
    tiny_sam: Path, tmp_path: Path
) -> None:
    write(family("seafog"), tmp_path / "odd", seed=0, counts={"train": 5, "val": 3}, size=(32, 32))
    short = {"teacher": str(tiny_sam), "settings": {"match": "mmd_batch"}, "quiet": True, **SHORT}
    sensam.inherit(tmp_path / "odd", out=tmp_path / "run", **short)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert all(0 < float(rows[place]["val_loss"]) < 2 for place in (1, 3))
    write(family("seafog"), tmp_path / "alone", seed=0, counts={"train": 4, "val": 1}, size=(32, 32))
    with pytest.raises(InputError, match=r"split val .* 1 sample.* at least 2 .*validations=0"):
        sensam.inherit(tmp_path / "alone", out=tmp_path / "alone-run", **short)
    with pytest.raises(SettingsError, match=r"stage inherit .*at least 2, .*train\.batch=2"):
        sensam.inherit(tmp_path / "odd", out=tmp_path / "single", **short | {"batch": 1})


@pytest.mark.slow
def test_steps_done_again_with_features_kept_are_the_same(
    fog: Path, tiny_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps after the last checkpoint find on disk what they computed the first time."""

    def inherit(name: str, *, resume: bool = False) -> tuple[bytes, list[dict[str, str]]]:
        sensam.inherit(
            fog,
            out=tmp_path / name,
            teacher=str(tiny_sam),
            cache=tmp_path / f"{name}-kept",
            settings={"triples": 2},
            resume=resume,
            quiet=True,
            **SHORT,
        )
        with (tmp_path / name / "log.csv").open(newline="") as file:
            rows = [{n: v for n, v in row.items() if n != "teacher_avoided"} for row in csv.DictReader(file)]
        return (tmp_path / name / "model" / "model.safetensors").read_bytes(), rows

    whole = inherit("whole")
    save = StageRun._save
    with stopped_at(monkeypatch, 5):
        monkeypatch.setattr(StageRun, "_save", lambda self: save(self) if self.progress.step < 3 else None)
        inherit("broken")
    monkeypatch.setattr(StageRun, "_save", save)
    assert inherit("broken", resume=True) == whole


@pytest.mark.slow
def test_a_model_that_learnt_without_bands_maps_a_file_that_lacks_one(
    fog: Path, tiny_sam: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(fog)
    raster = dataset.read(dataset.items("test")[0])
    lacking = tmp_path / "lacking.tif"
    rows, columns = raster.pixels_CHW.shape[1:]
    grid = {"transform": rasterio.Affine(10, 0, 5e5, 0, -10, 6e6), "crs": "EPSG:32632"}
    shape = {"count": 15, "height": rows, "width": columns, "dtype": "float32", "nodata": np.nan}
    with rasterio.open(lacking, "w", driver="GTiff", **shape, **grid) as file:
        file.write(raster.pixels_CHW[1:].astype(np.float32))
        file.descriptions = raster.bands[1:]
    model = sensam.load(run(fog, tiny_sam, tmp_path / "with"))
    assert model.segmenter.takes_missing_bands
    made = sensam.predict(model, lacking, tmp_path / "map.tif")[-1]
    with rasterio.open(made) as file:
        assert (file.read(1) < len(model.classes)).all()
        assert (model.predict(lacking) < len(model.classes)).all()
    first = np.arange(16)[:, None, None] == 0
    empty = raster.with_pixels(raster.pixels_CHW, raster.valid_CHW & ~first, is_decoded=True)
    for image in (empty, raster.select(raster.bands[1:])):
        assert np.array_equal(model.predict(image), model.predict(lacking))
    other = sensam.load(run(fog, tiny_sam, tmp_path / "without", dropout=0.0))
    assert not other.segmenter.takes_missing_bands
    with pytest.raises(InputError, match="lacks B01"):
        sensam.predict(other, lacking, tmp_path / "other.tif")
    with pytest.raises(InputError, match="lacks B01"):
        other.predict(lacking)
    assert (other.predict(empty) == 255).all()
