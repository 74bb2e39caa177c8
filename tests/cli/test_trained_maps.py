"""From training to maps by the command line alone: a run folder knows what it was trained on, and maps accordingly."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from sensam.data.synthetic import family, write

QUICK = ("train.size=32", "train.batch=2", "train.workers=0", "train.steps=2", "train.validations=0", "track=[]")
PIXEL = 3.0  # metres, of the synthetic radar

Run = Callable[..., int]


@pytest.fixture(scope="module")
def radar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radar") / "data"
    write(family("sar"), folder, seed=0, counts={"train": 2, "val": 1, "test": 1}, size=(64, 64))
    return folder


@pytest.fixture
def trained(radar: Path, tmp_path: Path, run: Run) -> Path:
    sets = [f"--set={text}" for text in QUICK]
    assert run("train", radar, "--method", "tests.train.tiny:Tiny", "--out", tmp_path / "run", *sets) == 0
    return tmp_path / "run"


def scene_of(radar: Path) -> Path:
    return next((radar / "images" / "test").rglob("*.tif"))


def repeated(path: Path, out: Path, times: int) -> Path:
    """The same ground in pixels a few times smaller."""
    with rasterio.open(path) as file:
        pixels = file.read().repeat(times, 1).repeat(times, 2)
        facts = file.profile | {"width": pixels.shape[2], "height": pixels.shape[1]}
        pixel, _, x, _, _, y = tuple(file.transform)[:6]
        facts["transform"] = Affine(pixel / times, 0, x, 0, -pixel / times, y)
        names = file.descriptions
    with rasterio.open(out, "w", **facts) as file:
        file.write(pixels)
        file.descriptions = names
    return out


def in_degrees(path: Path, out: Path, pixel: float) -> Path:
    """The same pixels on another place on Earth, at 60 degrees north, where a degree of longitude is half as long."""
    with rasterio.open(path) as file:
        facts = file.profile | {"crs": "EPSG:4326", "transform": Affine(2 * pixel, 0, 25.0, 0, -pixel, 60.0)}
        with rasterio.open(out, "w", **facts) as other:
            other.write(file.read())
            other.descriptions = file.descriptions
    return out


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.slow
def test_a_run_folder_maps_at_the_resolution_it_was_trained_at(
    radar: Path, trained: Path, tmp_path: Path, run: Run
) -> None:
    scene = scene_of(radar)
    assert json.loads((trained / "model" / "config.json").read_text())["resolution"] == PIXEL
    assert run("predict", trained, scene, "-o", tmp_path / "plain.tif") == 0
    assert run("predict", trained, scene, "-o", tmp_path / "same.tif", "--resample", "trained") == 0
    assert np.array_equal(read(tmp_path / "same.tif"), read(tmp_path / "plain.tif"))
    fine = repeated(scene, tmp_path / "fine.tif", 2)
    assert run("predict", trained, fine, "-o", tmp_path / "coarser.tif", "--resample", "trained") == 0
    with rasterio.open(tmp_path / "coarser.tif") as made:
        assert made.res == (PIXEL, PIXEL)
        assert np.array_equal(made.read(1), read(tmp_path / "plain.tif"))
    assert run("predict", trained, fine, "-o", tmp_path / "untouched.tif") == 0
    assert read(tmp_path / "untouched.tif").shape == (128, 128)


def test_metres_of_training_are_found_again_in_a_scene_of_degrees(
    radar: Path, trained: Path, tmp_path: Path, run: Run
) -> None:
    metre = 1 / 111_400  # of latitude, in degrees
    scene = in_degrees(repeated(scene_of(radar), tmp_path / "fine.tif", 3), tmp_path / "degrees.tif", metre)
    assert run("predict", trained, scene, "-o", tmp_path / "map.tif", "--resample", "trained") == 0
    with rasterio.open(tmp_path / "map.tif") as made:
        assert made.res == pytest.approx((3 * 2**0.5 * metre,) * 2, rel=0.01)  # a square as large as 3 m by 3 m


@pytest.mark.slow
def test_images_that_are_stretched_are_seen_at_another_resolution(
    radar: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [f"--set={text}" for text in (*QUICK, "train.fit=stretch", "train.augment={}")]
    assert run("train", radar, "--method", "tests.train.tiny:Tiny", "--out", tmp_path / "run", *sets) == 0
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["resolution"] == 2 * PIXEL
    capsys.readouterr()
    assert run("predict", tmp_path / "run", scene_of(radar), "-o", tmp_path / "map.tif") == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "stretched to 32 x 32 pixels" in line]
    assert len(said) == 1
    assert "tiles of its own pixels" in said[0]


@pytest.mark.slow
def test_images_without_a_place_give_no_resolution(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    write(family("drive"), tmp_path / "data", seed=0, counts={"train": 1}, size=(32, 32))
    sets = [f"--set={text}" for text in QUICK]
    method = ("--method", "tests.train.tiny:Tiny")
    assert run("train", tmp_path / "data", *method, "--out", tmp_path / "run", *sets) == 0
    capsys.readouterr()
    scene = next((tmp_path / "data" / "images").rglob("*.tif"))
    assert run("predict", tmp_path / "run", scene, "-o", tmp_path / "map.tif", "--resample", "trained") == 2
    assert "does not say at what resolution it was trained" in capsys.readouterr().err


def probabilities(run: Run, model: Path, scene: Path, out: Path) -> np.ndarray:
    assert run("predict", model, scene, "-o", out, "--probabilities", "--storage", "uint16") == 0
    with rasterio.open(out.with_suffix(".probabilities.tif")) as file:
        return file.read() * np.array(file.scales)[:, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cwsam", "scratch"])
def test_what_is_exported_maps_as_the_run_folder_does(
    method: str, radar: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [f"--set={text}" for text in (*QUICK, "train.steps=6", "train.rate=0.01")]  # so that pixels differ
    assert run("train", radar, "--method", method, "--out", tmp_path / "run", *sets) == 0
    scene = scene_of(radar)
    mine = probabilities(run, tmp_path / "run", scene, tmp_path / "run.tif")
    assert mine.std() > 0.01
    made = {"onnx": "mine.onnx", "torch": "mine.pt2", "hf": "hub"}
    for kind, name in made.items():
        assert run("export", tmp_path / "run", "--format", kind, "-o", tmp_path / name, "--scene", scene) == 0
    said = capsys.readouterr().out
    assert said.count("on 4 tiles of your scenes") == 2
    for kind in ("onnx", "hf"):
        its = probabilities(run, tmp_path / made[kind], scene, tmp_path / f"{kind}.tif")
        assert np.abs(its - mine).max() < 1e-3
        assert np.mean(read(tmp_path / f"{kind}.tif") == read(tmp_path / "run.tif")) > 0.999
    assert run("predict", tmp_path / "mine.onnx", scene, "-o", tmp_path / "trained.tif", "--resample", "trained") == 0
    assert np.mean(read(tmp_path / "trained.tif") == read(tmp_path / "run.tif")) > 0.999
