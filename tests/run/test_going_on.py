"""A run goes on from the data it began with, and is begun where it overwrites nothing."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from sensam.data.synthetic import family, write
from sensam.errors import InputError, MissingExtraError, SensamError, SettingsError
from sensam.run import train

TINY = "tests.train.tiny:Tiny"
QUICK = {"size": 32, "batch": 2, "workers": 0, "steps": 1, "validations": 1}


def run(data: Path, out: Path, **more: Any) -> None:
    train(data, **{"method": TINY, "out": out, "quiet": True, "track": (), **QUICK, **more})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small data set and a run on it."""
    folder = tmp_path_factory.mktemp("going_on")
    write(family("seafog"), folder / "data", seed=0, counts={"train": 2, "val": 1}, size=(32, 32))
    run(folder / "data", folder / "run")
    return folder / "data", folder / "run"


def reversed_classes(values: dict[str, Any]) -> None:
    values["classes"] = values["classes"][::-1]


def another_mean(values: dict[str, Any]) -> None:
    for band in values["sensor"]["bands"]:
        band |= {"mean": 7.0, "std": 3.0}


@pytest.mark.parametrize(
    ("change", "told"),
    [(reversed_classes, r"data with classes = \["), (another_mean, r"sensor\..*\.mean = "), (None, "finished")],
)
def test_a_run_goes_on_from_the_same_data_alone(
    finished: tuple[Path, Path],
    change: Callable[[dict[str, Any]], None] | None,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out = finished
    listing = data / "dataset.yaml"
    before, model = listing.read_text(), {path: path.stat().st_mtime_ns for path in (out / "model").iterdir()}
    try:
        if change is None:
            run(data, out, resume=True, quiet=False)
            assert told in capsys.readouterr().out
        else:
            values = yaml.safe_load(before)
            change(values)
            listing.write_text(yaml.safe_dump(values))
            with pytest.raises(InputError, match=told):
                run(data, out, resume=True)
    finally:
        listing.write_text(before)
    assert {path: path.stat().st_mtime_ns for path in (out / "model").iterdir()} == model


def test_a_run_that_kept_no_word_of_its_data_goes_on(finished: tuple[Path, Path]) -> None:
    data, out = finished
    (out / "checkpoints" / "data.json").unlink()
    run(data, out, resume=True)
    assert (out / "checkpoints" / "data.json").is_file()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ({"split": "trian"}, "'trian'"),
        ({"stages": {"finetune": {"split": "bare"}}}, "have no mask"),
        ({"stages": {"finetune": {"val_split": "bare"}}}, "have no mask"),
        ({"val_split": "brae"}, "'brae'. Did you mean 'bare'"),
        ({"val_split": "val"}, "'val'"),
        ({"stages": {"inherit": {"val_split": "brae"}}}, "'brae'"),
    ],
)
def test_a_mistake_about_splits_leaves_nothing_behind(tmp_path: Path, mistake: dict[str, Any], told: str) -> None:
    counts = {"train": 2, "bare": 1}
    write(family("seafog"), tmp_path / "data", seed=0, counts=counts, size=(32, 32), unlabelled=("bare",))
    with pytest.raises(SensamError, match=told):
        run(tmp_path / "data", tmp_path / "run", **mistake)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_what_no_run_wrote_is_not_overwritten(finished: tuple[Path, Path], tmp_path: Path, resume: bool) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(InputError, match=r"holds log\.csv, model and is no folder of a run"):
        run(finished[0], tmp_path, resume=resume)
    assert (tmp_path / "log.csv").read_text() == "mine"
    assert not (tmp_path / "run.yaml").exists()


@pytest.mark.filterwarnings("error")
def test_a_validation_split_without_labels_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    write(family("seafog"), data, seed=0, counts={"train": 2, "val": 1}, size=(32, 32))
    for mask in data.glob("masks/val/*"):
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(mask)
    run(data, tmp_path / "run", steps=2, validations=2, quiet=False)
    said = capsys.readouterr().out
    assert said.count("val miou is nan, because split 'val' has no labelled pixel") == 1


def test_a_run_goes_on_from_another_folder_and_by_another_path(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = finished
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    run(Path("link"), out, resume=True)
    run(data / "dataset.yaml", out, resume=True)
    assert yaml.safe_load((out / "run.yaml").read_text())["data"] == str(data)


def test_a_finished_run_stays_also_without_its_checkpoints(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = finished
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "checkpoints")
    run(data, copy, resume=True, quiet=False)
    assert "stays as it is" in capsys.readouterr().out
    for name in ("metrics.json", "model/model.safetensors"):
        assert (copy / name).read_bytes() == (out / name).read_bytes()
    with pytest.raises(SettingsError, match="batch"):
        run(data, copy, resume=True, batch=1)


def test_a_method_that_learns_nothing_is_saved_as_it_is(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = finished
    train(data, method="zeroshot", out=tmp_path / "run", track=(), size=32)
    said = " ".join(capsys.readouterr().out.split())
    assert f"sensam evaluate {tmp_path / 'run'} {data} --clicks" in said
    assert (tmp_path / "run" / "model" / "config.json").is_file()


def test_a_record_that_cannot_be_kept_leaves_no_run_behind(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match="track"):
        run(finished[0], tmp_path / "run", track=("mlflow",))
    assert not (tmp_path / "run").exists()
