"""`sensam segment` and `sensam parts` from the command line, with a SAM and with a trained model."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyogrio.raw import read
from rasterio.crs import CRS
from rasterio.transform import Affine

from sensam.data.dataset import open_dataset
from sensam.data.synthetic import family, write
from sensam.evaluate.parts import count_parts
from sensam.methods.base import Task
from sensam.methods.rebuilding import build_method, trained_by
from sensam.methods.tuning import STRATEGIES
from sensam.nn.projectors import PROJECTORS
from sensam.run.model import describe_model, save_model
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam
from sensam.sensors import Sensor
from tests.cli.conftest import Run
from tests.sam.conftest import TINY, fill

PLACE = {"crs": CRS.from_epsg(32633), "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    made = Sam(TINY)
    fill(made, 0)
    save_sam(made, tmp_path / "sam")
    return tmp_path / "sam"


@pytest.fixture
def make_scene(tmp_path: Path) -> Callable[..., Path]:
    def make(bands: tuple[str, ...], dtype: str = "uint8") -> Path:
        path = tmp_path / f"scene{len(bands)}.tif"
        pixels = np.random.default_rng(0).integers(1, 250, (len(bands), 90, 120)).astype(dtype)
        profile = {"driver": "GTiff", "count": len(bands), "height": 90, "width": 120, "dtype": dtype}
        with rasterio.open(path, "w", **profile, **PLACE) as file:
            file.write(pixels)
            file.descriptions = bands
        return path

    return make


@pytest.mark.slow
def test_a_sam_on_a_photograph_in_pixels_and_on_the_map(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, cache = make_scene(("red", "green", "blue")), tmp_path / "cache"
    out = tmp_path / "o.gpkg"
    words = ("segment", sam, scene, "--cache", cache, "-o", out)
    assert run(*words, "--point", "30,20", "--box", "60,10,110,70", "--outside", "1,1") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"SAM custom for 3 bands from {sam} ")
    assert "object 1 (30,20): " in printed
    assert "object 2 (60,10,110,70): " in printed
    assert len(read(out)[2]) == 2
    assert len(list(cache.glob("*/*.npy"))) == 2  # the point's window and the box's
    assert (
        run(
            "segment", sam, scene, "--no-cache", "-o", tmp_path / "o.tif", "--point", "500305,4999795", "--crs", "scene"
        )
        == 0
    )
    with rasterio.open(tmp_path / "o.tif") as file:
        assert (file.crs, file.transform) == (PLACE["crs"], PLACE["transform"])


def test_a_sam_sees_the_rgb_bands_of_a_sensor(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene(("red", "green", "blue", "nir", "thermal"), "uint16")
    words = ("segment", sam, scene, "--no-cache", "-o", tmp_path / "o.gpkg", "--point", "30,20")
    assert run(*words) == 2
    assert "is no 8-bit photograph. Say with --sensor" in capsys.readouterr().err
    (tmp_path / "five.yaml").write_text(
        "name: five\nrgb: [red, green, blue]\nbands: [red, green, blue, nir, thermal]\nevery_band: {unit: DN}\n"
    )
    assert run(*words, "--sensor", tmp_path / "five.yaml") == 0


def test_what_becomes_of_the_bands_is_said(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene(("nir", "blue", "green", "red"))
    assert run("segment", sam, scene, "--no-cache", "-o", tmp_path / "o.tif", "--point", "30,20") == 0
    printed = capsys.readouterr().out
    assert "scene4.tif: bands put into the order of rgb: red, green, blue" in printed
    assert "scene4.tif: not used: nir" in printed


@pytest.mark.slow
def test_what_was_seen_is_kept_for_the_bands_it_was_seen_in(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path
) -> None:
    scene, out, cache = make_scene(("red", "green", "blue")), tmp_path / "o.gpkg", tmp_path / "cache"
    words = ("segment", sam, scene, "--cache", cache, "--point", "30,20", "--overwrite", "-o", out)
    for given, kept in (("red,green,blue", 1), ("blue,green,red", 2), ("red,green,blue", 2)):
        assert run(*words, "--bands", given) == 0
        assert len(list(cache.glob("*/*.npy"))) == kept


@pytest.mark.slow
def test_a_file_that_is_there_stays(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene(("red", "green", "blue"))
    words = ("segment", sam, scene, "--no-cache", "--point", "30,20", "-o")
    before = scene.read_bytes()
    assert run(*words, scene, "--overwrite") == 2
    assert "is the scene itself" in capsys.readouterr().err
    single, parts = make_scene(("B1",)).read_bytes(), (tmp_path / "B1.tif", tmp_path / "B2.tif")
    for part in parts:
        part.write_bytes(single)
    (tmp_path / "two.yaml").write_text("name: two\nrgb: [B1, B2, B2]\nbands: [B1, B2]\nevery_band: {unit: DN}\n")
    listed = ("segment", sam, ",".join(map(str, parts)), "--sensor", tmp_path / "two.yaml", *words[3:])
    assert run(*listed, parts[1], "--overwrite") == 2
    assert "is the scene itself" in capsys.readouterr().err
    assert [path.read_bytes() for path in (scene, *parts)] == [before, single, single]
    project = tmp_path / "project.gpkg"
    project.write_bytes(b"layers of others")
    assert run(*words, project) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert project.read_bytes() == b"layers of others"
    assert run(*words, project, "--overwrite") == 0
    assert len(read(project)[2]) == 1
    (tmp_path / "folder.tif").mkdir()
    assert run(*words, tmp_path / "folder.tif", "--overwrite") == 2
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_trained_model_answers_on_its_own_sensor(
    run: Run, sam: Path, make_scene: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor = Sensor.from_dict(
        {"name": "pair", "bands": ["nir", "thermal"], "every_band": {"unit": "DN", "mean": 120.0, "std": 70.0}}
    )
    task = Task(sensor, ("ground", "thing"), load_sam(sam), size=64)
    method = build_method("simmat", task, {"amount": 2})
    config = describe_model(method, "simmat", colours=((0, 0, 0), (9, 9, 9)), stages=("clicks",))
    save_model(tmp_path / "model", method, trained_by(method, ("clicks",)), config, {})
    capsys.readouterr()
    scene, out = make_scene(("thermal", "nir")), tmp_path / "o.geojson"
    words = ("segment", tmp_path / "model", scene, "--no-cache", "--overwrite", "-o", out)
    assert run(*words, "--point", "15.0004,45.1533", "--crs", "EPSG:4326") == 0
    assert "bands put into the order of pair: nir, thermal" in capsys.readouterr().out
    assert run(*words, "--point", "200,20") == 2
    assert "scene2.tif, which covers x 0 to 120 and y 0 to 90 in pixels" in capsys.readouterr().err
    assert run(*words, "--point", "20,20", "--sensor", "rgb") == 2
    assert "knows its sensor (pair): leave --sensor out" in capsys.readouterr().err
    assert (
        run("segment", tmp_path / "model", make_scene(("a", "b", "c")), "-o", tmp_path / "b.tif", "--point", "1,1") == 2
    )
    assert "pair" in capsys.readouterr().err


def test_a_format_is_settled_before_anything_is_computed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", "nowhere", "nothing.tif", "-o", tmp_path / "o.xyz", "--point", "1,1") == 2
    assert "does not say in which format" in capsys.readouterr().err


@pytest.mark.slow
def test_the_grid_of_parts(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("parts", "--size", "nano", "--bands", 2, "--projector", "mat_conv", "--strategy")
    assert run(*words, "lora", "--amount", 4) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("mat_conv"))
    (part,) = count_parts(anatomy("nano"), 2, ["mat_conv"], ["lora"], 4)
    share = f"{100 * part.trained / part.total:.2f}"
    numbers = (f"{part.trained:,}", share, "%", f"{part.encoder_gflop:,.1f}", f"{part.decoder_gflop:,.2f}")
    assert line.split() == ["mat_conv", "lora", "every", "band", *numbers]
    assert run(*words, "loar") == 2
    assert "Did you mean 'lora'" in capsys.readouterr().err


@pytest.mark.slow
def test_every_projector_has_a_line_for_every_strategy(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_block = replace(TINY, depth=1, global_blocks=(0,))
    monkeypatch.setattr("sensam.sam.anatomy.anatomy", lambda _: one_block)  # counted in a fraction of the time
    assert run("parts", "--size", "nano", "--bands", 5, "--amount", 4) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:] if line.strip()]
    assert {(row[0], row[1]) for row in rows} == {(name, strategy) for name in PROJECTORS for strategy in STRATEGIES}
    assert len(rows) == len(PROJECTORS) * len(STRATEGIES) >= 54
    assert all("the first bands only" in " ".join(row) for row in rows if row[0] == "zeroshot")


@pytest.mark.slow
def test_clicks_and_their_curve_from_the_command_line(
    run: Run, sam: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(family("modality:thermal"), tmp_path / "heat", seed=0, counts={"train": 1, "test": 2}, size=(64, 64))
    dataset = open_dataset(tmp_path / "heat")
    method = build_method("simmat", Task(dataset.sensor, dataset.classes, load_sam(sam), 64), {"amount": 2})
    config = describe_model(method, "simmat", colours=dataset.colours, stages=("clicks",))
    save_model(tmp_path / "model", method, trained_by(method, ("clicks",)), config, {})
    words = ("evaluate", tmp_path / "model", tmp_path / "heat", "--clicks")
    capsys.readouterr()
    assert run(*words, "--curve", 3, "--out", tmp_path / "scores.json") == 0
    printed, scores = capsys.readouterr().out, json.loads((tmp_path / "scores.json").read_text())
    assert [f"iou after {clicks} clicks" in scores for clicks in (1, 2, 3, 4)] == [True, True, True, False]
    assert scores["iou after 1 clicks"] == pytest.approx(scores["click_iou"])
    assert f"click iou {scores['click_iou']:.4g}" in printed
    assert f"iou after 3 clicks {scores['iou after 3 clicks']:.4g}" in printed
    assert run(*words) == 0
    assert "after 1" not in capsys.readouterr().out
    assert run("evaluate", tmp_path / "model", tmp_path / "heat", "--curve", 2) == 2
    assert "Give --clicks as well" in capsys.readouterr().err
    assert run(*words, "--out", tmp_path / "scores.csv") == 2
    assert "written as .json" in capsys.readouterr().err
    assert run(*words, "--scoring", "e2sam", "--left-out", 0) == 2
    assert "is for class maps" in capsys.readouterr().err
    assert run(*words, "--batch", 2) == 2
    assert "--batch is for class maps" in capsys.readouterr().err
    assert run(*words[:-1], "--scoring", "cwsam-full", "--left-out", 0) == 2
    assert "cwsam-full leaves nothing out" in capsys.readouterr().err
    assert run(*words[:-1], "--left-out", 0) == 2
    assert "none is given" in capsys.readouterr().err
