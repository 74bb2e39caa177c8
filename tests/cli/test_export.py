"""`sensam export`: what it prints and writes, and what it refuses."""

import json
from types import SimpleNamespace

import pytest

from sensam.cli.app import main
from tests.infer.mapmaking import ground, network, segmenter, sensor, write_scene


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
    assert json.loads((made.parent / "stac-item.json").read_text())["assets"]["model"]["href"] == "./toy.onnx"
    code, _, err = run(capsys, monkeypatch, "runs/toy", "-o", made, "--tolerance", "-1")
    assert code == 2
    assert "thrown away" in err
    assert not made.exists()


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
