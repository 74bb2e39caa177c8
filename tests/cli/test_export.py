"""`sensam export`: what it prints and writes, and what it refuses."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sensam.cli.app import main
from sensam.sam.model import Sam
from tests.infer.mapmaking import ground, network, segmenter, sensor, write_scene
from tests.sam.conftest import TINY


def run(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["sensam", "export", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    model = segmenter(network(3), name="toy")
    method = SimpleNamespace(promptable=lambda: None)
    found = SimpleNamespace(segmenter=model, method=method, sensor=sensor(), config={"method": "toy"})
    monkeypatch.setattr("sensam.run.model.load", lambda source, base=None: found)  # noqa: ARG005


@pytest.mark.slow
def test_onnx_is_compared_on_real_tiles_and_described(tmp_path, capsys, monkeypatch):
    scene = write_scene(tmp_path / "scene.tif", ground(80, 80))
    made = tmp_path / "made" / "toy.onnx"
    code, out, err = run(capsys, monkeypatch, "runs/toy", "-o", made, "--scene", scene)
    assert code == 0, err
    assert "on 4 tiles of your scenes" in out
    other = made.with_suffix(".pt2")
    code, _, err = run(capsys, monkeypatch, "runs/toy", "--format", "torch", "-o", other)
    assert code == 0, err
    for export in (made, other):
        item = json.loads(export.with_name(f"{export.name}.stac-item.json").read_text())
        assert item["assets"]["model"]["href"] == f"./{export.name}"
    assert len(list(made.parent.iterdir())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_an_export_that_differs_leaves_the_one_before(format, tmp_path, capsys, monkeypatch):
    made = tmp_path / "toy.file"
    made.write_bytes(b"a good one")
    words = ("runs/toy", "--format", format, "-o", made, "--tolerance", "-1")
    code, _, err = run(capsys, monkeypatch, *words)
    assert code == 2
    assert "toy.file differs" in err
    assert "thrown away" in err
    assert made.read_bytes() == b"a good one"
    assert [path.name for path in tmp_path.iterdir()] == ["toy.file"]


@pytest.mark.slow
def test_halves_that_differ_leave_those_before(tmp_path, capsys, monkeypatch):
    model, small = segmenter(network(3), name="toy"), replace(TINY, bands=3)
    method = SimpleNamespace(promptable=lambda: Sam(small))
    found = SimpleNamespace(segmenter=model, method=method, sensor=sensor(), config={})
    monkeypatch.setattr("sensam.run.model.load", lambda source, base=None: found)  # noqa: ARG005
    halves = [tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"]
    for half in halves:
        half.write_bytes(b"a good one")
    words = ("runs/toy", "--split", "--tile", small.image_size, "-o", tmp_path)
    code, _, err = run(capsys, monkeypatch, *words, "--tolerance", "-1")
    assert code == 2, err
    assert "thrown away" in err
    assert [half.read_bytes() for half in halves] == [b"a good one"] * 2
    code, _, err = run(capsys, monkeypatch, *words)
    assert code == 0, err
    assert all(half.stat().st_size > 1000 for half in halves)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--format", "onx"), "Did you mean 'onnx'"),
        (("--format", "torch", "--int8"), "belong to --format onnx"),
        (("--format", "hf", "--split"), "belong to --format onnx"),
        (("--split",), "leave --split out"),
        (("--tile", "0"), "Give at least 1"),
        (("--scene", "nowhere.tif"), "does not exist"),
    ],
)
def test_mistakes_are_one_line(words, answer, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, "runs/toy", *words)
    assert code == 2
    assert answer in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
