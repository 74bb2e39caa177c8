"""Bad input to `sensam predict`: one clear line, exit code 2, nothing half-written, inputs as they were."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor, nn

from sensam.infer.archive import loaded
from sensam.maps import load_segmenter
from sensam.sensors import Sensor
from tests.cli.bad_input import (
    BLIND,
    COLLECTION,
    FLOATS,
    LOST,
    SQUARE,
    Make,
    area,
    coloured,
    cut,
    damaged,
    good,
    item,
    listed,
    looped,
    named_twice,
    onto_itself,
    pickled,
    pickled_array,
    ring,
    scene_of,
    several_arrays,
    singles,
    twins,
    unplaced,
    with_file,
    with_options,
)
from tests.cli.test_predict import run
from tests.infer.mapmaking import BANDS, ground, network, place, segmenter, sensor, write_scene


class Answering(nn.Module):
    """Answers logits of a wrong shape."""

    def __init__(self, classes: int, shrink: int) -> None:
        super().__init__()
        self.classes, self.shrink = classes, shrink

    def forward(self, image: Tensor) -> Tensor:
        return torch.zeros(len(image), self.classes, *(side // self.shrink for side in image.shape[2:]))


def spoilt(value: float) -> nn.Module:
    net = network()
    with torch.no_grad():
        next(net.parameters()).view(-1)[0] = value
    return net


def other_statistics() -> Sensor:
    return sensor().with_statistics([1.0] * 3, [2.0] * 3)


MODELS: dict[str, Callable[[], Any]] = {
    "toy": segmenter,
    "nan": lambda: segmenter(spoilt(float("nan"))),
    "inf": lambda: segmenter(spoilt(float("inf"))),
    "overflowing": lambda: segmenter(spoilt(3e38)),
    "fewer-classes": lambda: segmenter(Answering(3, 1)),
    "smaller-answers": lambda: segmenter(Answering(4, 2)),
    "pano": lambda: segmenter(sensor=sensor("equirectangular")),
    "bare": lambda: segmenter(sensor=Sensor.from_dict({"name": "bare", "bands": list(BANDS)})),
    "other-numbers": lambda: segmenter(sensor=other_statistics()),
    "other-classes": lambda: _renamed(segmenter()),
    "wavy": lambda: segmenter(sensor=_wavy()),
}


def _renamed(model: Any) -> Any:
    from dataclasses import replace

    return replace(model, classes=("a", "b", "c", "d"))


def _wavy() -> Sensor:
    bands = [
        {"name": name, "wavelength_nm": at, "mean": 1, "std": 1}
        for name, at in zip(BANDS, (490, 560, 665), strict=True)
    ]
    return Sensor.from_dict({"name": "wavy", "bands": bands, "every_band": {"dtype": "uint16"}})


def _empty(path: Path) -> Path:
    path.touch()
    return path


TABLE: dict[str, tuple[Make, str]] = {
    "no such scene": (lambda folder: ["toy", folder / "nowhere.tif"], "does not exist"),
    "no scene at all": (lambda _: ["toy"], "no scene to map"),
    "cut short": (cut, "cut short"),
    "empty file": (with_file("scene.tif", b""), "cannot be read"),
    "text posing as an image": (with_file("scene.tif", b"not an image" * 50), "cannot be read"),
    "damaged pixels": (damaged, "cannot be read"),
    "too few bands": (scene_of(ground(20, 20)[:2], None), "has 2 bands, toy has 3"),
    "too many bands": (scene_of(ground(20, 20, 5), None), "has 5 bands, toy has 3"),
    "a band is missing": (scene_of(ground(20, 20), ("B02", "B03", "B08")), "lacks B04"),
    "strange band names": (scene_of(ground(20, 20), ("hue", "chroma", "value")), "Say which is which"),
    "a band twice": (named_twice, "several bands for B02"),
    "--bands of another count": (with_options("--bands", "B02,B03"), "Name every band"),
    "--bands that are strange": (with_options("--bands", "x,y,z"), "does not know"),
    "another colour": (
        lambda folder: ["wavy", coloured(folder)],
        "nm where wavy has",
    ),
    "another type": (
        lambda folder: ["wavy", write_scene(folder / "s.tif", ground(9, 9).astype(np.float32))],
        "stores B02",
    ),
    "another CRS among bands": (lambda folder: singles(folder, {"crs": "EPSG:32633"}), "Warp one to the other"),
    "another grid among bands": (
        lambda folder: singles(folder, {"transform": place(500_005, 5_000_000, 10)}),
        "one grid",
    ),
    "another size among bands": (lambda folder: singles(folder, {}, 30), "one grid"),
    "a file twice": (lambda folder: ["toy", f"{good(folder)},{folder / 'scene.tif'}"], "names two files alike"),
    "a folder without images": (lambda folder: ["toy", folder], "holds no image"),
    "all nodata": (scene_of(np.zeros((3, 20, 20), np.uint16)), "no valid pixel"),
    "all NaN": (scene_of(FLOATS, nodata=None), "no valid pixel"),
    "links in a circle": (looped, "a link that leads nowhere"),
    "a name without end": (lambda _: ["toy", "x" * 5000 + ".tif"], "cannot be read"),
    "a pickle in an array": (pickled_array, "cannot be read"),
    "several arrays": (several_arrays, "Say which one is the image"),
    "STAC that is no JSON": (item("{"), "as a STAC item"),
    "STAC without assets": (item({"stac_version": "1.0.0"}), "no assets"),
    "STAC without our bands": (item(BLIND), "no asset with bands of toy"),
    "STAC with nothing": (item(COLLECTION), "no asset with bands of toy"),
    "STAC whose file is gone": (item(LOST), "gone.tif"),
    "--bbox that is no box": (with_options("--bbox", "1,2,three,4"), "xmin,ymin,xmax,ymax"),
    "--bbox without area": (with_options("--bbox", "500000,4999700,500000,4999900"), "has no area"),
    "--bbox turned round": (with_options("--bbox", "500200,4999900,500000,4999700"), "has no area"),
    "--bbox of NaN": (with_options("--bbox", "nan,0,1,1"), "has no area"),
    "--bbox elsewhere": (with_options("--bbox", "0,0,10,10"), "lies outside"),
    "--bbox on a photograph": (unplaced("--bbox", "0,0,10,10"), "no place on Earth"),
    "--aoi that is missing": (with_options("--aoi", "/nowhere.gpkg"), "cannot be read as polygons"),
    "--aoi of points": (area(shapely.Point(500_100, 4_999_800)), "holds no polygon"),
    "--aoi without CRS": (area(SQUARE, None), "in which coordinate system"),
    "--aoi elsewhere": (area(shapely.box(0, 0, 9, 9)), "lies outside"),
    "--aoi with a ring that is open": (ring("[0, 0], [1, 0], [1, 1], [0, 1]"), "cannot be read as polygons"),
    "--aoi with a corner of NaN": (ring("[0, 0], [NaN, 0], [1, 1], [0, 0]"), "no finite numbers"),
    "--aoi and --bbox": (
        lambda folder: [*area(SQUARE)(folder), "--bbox", "500000,4999700,500100,4999900"],
        "Give one of them",
    ),
    "--aoi on a photograph": (unplaced("--aoi", "area.gpkg"), "no coordinate system"),
    "--resample 0": (with_options("--resample", "0"), "makes no sense"),
    "--resample NaN": (with_options("--resample", "nan"), "makes no sense"),
    "--resample without end": (with_options("--resample", "inf"), "makes no sense"),
    "--resample to dust": (with_options("--resample", "1e-9"), "more than a file can hold"),
    "--resample to nothing": (with_options("--resample", "1e-320"), "more than a file can hold"),
    "--resample to one pixel": (with_options("--resample", "1e9"), "larger than all of"),
    "--resample of words": (with_options("--resample", "fine"), "is no number"),
    "--resample to the unknown": (with_options("--resample", "trained"), "does not say at what resolution"),
    "--resample of a photograph": (unplaced("--resample", "5"), "resolution is not known"),
    "--list that is missing": (lambda folder: ["toy", "--list", folder / "none.txt"], "as a list of scenes"),
    "--list of nothing": (listed("\n# nothing\n"), "names no scene"),
    "--list of what is not there": (listed("nowhere.tif\n"), "1 of 1 scenes failed"),
    "scenes of one name": (twins, "would both become"),
    "several scenes, one map": (
        lambda folder: ["toy", good(folder, "a.tif"), good(folder, "b.tif"), "-o", folder / "map.tif"],
        "is one file",
    ),
    "a map onto its scene": (onto_itself, "the scene itself"),
    "a folder that is a file": (
        lambda folder: ["toy", good(folder), "-o", folder / "scene.tif" / "x"],
        "cannot be written",
    ),
    "a folder where none can be": (with_options("-o", "/proc/maps"), "cannot be written"),
    "a model that is not there": (lambda folder: [folder / "nothing.onnx", good(folder)], "does not exist"),
    "a pickle posing as a model": (pickled("model.pt"), "never run"),
    "a pickle posing as ONNX": (pickled("model.onnx"), "cannot be read as ONNX"),
    "nothing posing as ONNX": (lambda folder: [_empty(folder / "m.onnx"), good(folder)], "cannot be read as ONNX"),
    "an image posing as a model": (lambda folder: [good(folder, "model.tif"), good(folder)], "is a file"),
    "NaN among weights": (with_options(model="nan"), "NaN or infinite"),
    "infinity among weights": (with_options(model="inf"), "NaN or infinite"),
    "weights that overflow": (with_options(model="overflowing"), "NaN or infinite"),
    "another number of classes": (with_options(model="fewer-classes"), "do not belong together"),
    "answers of another size": (with_options(model="smaller-answers"), "at the size of its input"),
    "a sensor without statistics": (with_options(model="bare"), "no statistics"),
    "an ensemble of other classes": (with_options("--ensemble", "other-classes"), "the same classes"),
    "an ensemble of other numbers": (with_options("--ensemble", "other-numbers"), "have learnt other numbers"),
    "--tta misspelt": (with_options("--tta", "trun"), "Did you mean 'turn'"),
    "--tta turn upright": (with_options("--tta", "turn", model="pano"), "Use --tta flip"),
    "--precision misspelt": (with_options("--precision", "fp31"), "Did you mean 'fp32'"),
    "--storage misspelt": (with_options("--storage", "uint32"), "Did you mean"),
    "--polygons as shapefile": (with_options("--polygons", "shp"), "no --polygons named 'shp'"),
    "--engine misspelt": (with_options("--engine", "rya"), "Did you mean 'ray'"),
    "--address without Ray": (with_options("--address", "auto"), "belongs to --engine ray"),
    "--overlap too wide": (with_options("--overlap", "17"), "0 to 16"),
    "--overlap below 0": (with_options("--overlap", "-1"), "0 to 16"),
    "--tile 0": (with_options("--tile", "0"), "Give at least 1"),
    "--batch 0": (with_options("--batch", "0"), "Give at least 1"),
    "--min-size below 0": (with_options("--polygons", "gpkg", "--min-size", "-1"), "give 0 or more"),
    "--min-size of nothing": (with_options("--min-size", "-5"), "--min-size belongs to --polygons"),
    "--simplify of nothing": (with_options("--simplify", "2"), "--simplify belongs to --polygons"),
    "--storage of nothing": (with_options("--storage", "uint16"), "--storage belongs to --confidence"),
    "--simplify below 0": (with_options("--polygons", "gpkg", "--simplify", "-1"), "give 0 or more"),
    "--simplify by NaN": (with_options("--polygons", "gpkg", "--simplify", "nan"), "give 0 or more"),
    "--simplify by all": (with_options("--polygons", "gpkg", "--simplify", "inf"), "give 0 or more"),
    "--device of another world": (with_options("--device", "tpu9"), "no device"),
}


def state(folder: Path) -> dict[Path, str]:
    """Every file below a folder and what it holds."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(autouse=True)
def models(monkeypatch):
    made = {name: make() for name, make in MODELS.items()}

    def find(model, base=None):
        return made[model] if model in made else load_segmenter(model, base=base)

    monkeypatch.setattr("sensam.maps.load_segmenter", find)
    loaded.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_bad_input_is_one_line_and_leaves_everything_as_it_was(name, tmp_path, capsys, monkeypatch):
    make, answer = TABLE[name]
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    words = make(folder)
    before = state(folder)
    code, _, err = run(capsys, monkeypatch, *(() if "-o" in words else ("-o", out)), *words)
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert answer in err
    assert state(folder) == before
    # A folder to go on from may stay; files that look finished may not.
    left = [path.relative_to(out) for path in state(out)]
    assert all(".partial" in path.parts[0] or path.name == "manifest.json" for path in left), left


def test_the_table_is_long_enough():
    assert len(TABLE) >= 40


def test_a_full_disk(tmp_path, capsys, monkeypatch):
    path = good(tmp_path / "in")
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, 0, 255)))
        code, _, err = run(capsys, full, "toy", path, "-o", tmp_path / "out")
    assert code == 2
    assert "has room for 0 MiB" in err
    assert err.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_may_not_be_written(tmp_path, capsys, monkeypatch):
    path = good(tmp_path / "in")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    code, _, err = run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out")
    assert code == 2
    assert "permission denied" in err
    assert not list((tmp_path / "out").iterdir())


def test_a_map_that_another_run_made(tmp_path, capsys, monkeypatch):
    path = good(tmp_path / "in")
    assert run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out")[0] == 0
    before = state(tmp_path / "out")
    code, _, err = run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out", "--tta", "flip")
    assert code == 2
    assert "--overwrite" in err
    assert state(tmp_path / "out") == before
    assert run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out", "--tta", "flip", "--overwrite")[0] == 0


def test_a_gpu_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = run(capsys, monkeypatch, "toy", good(tmp_path), "-o", tmp_path / "out", "--device", "cuda")
    assert code == 2
    assert "no GPU here" in err
