"""`sensam predict`: what it prints and writes, and that it needs no training code for an exported model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sensam.cli.app import main
from sensam.errors import SettingsError
from sensam.infer.archive import loaded
from tests.infer.mapmaking import BANDS, direct, ground, network, read, segmenter, sensor, write_scene


def run(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["sensam", "predict", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Models by name, so that the command needs no folder."""
    made = {"toy": segmenter(), "wide": segmenter(network(3, seed=1)), "rough": segmenter(resolution=20.0)}
    monkeypatch.setattr("sensam.maps.load_segmenter", lambda model, base=None: made[model])  # noqa: ARG005
    loaded.cache_clear()
    return made["toy"]


@pytest.fixture
def scene(tmp_path):
    return write_scene(tmp_path / "in" / "scene.tif", ground(70, 90))


def test_a_scene_becomes_a_map_and_stays_one(scene, toy, tmp_path, capsys, monkeypatch):
    words = ("toy", scene, "-o", tmp_path / "out", "--confidence", "--entropy", "--polygons", "gpkg", "--min-size", 4)
    code, out, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert "70 x 90 pixels, 12 tiles of 32" in out
    assert "MiB of memory" in out
    assert "to go, from the first tiles" in out
    assert f"wrote {tmp_path / 'out' / 'scene.confidence.tif'}" in out
    found = read(tmp_path / "out" / "scene.tif")[0]
    assert np.array_equal(found, direct(toy, read(scene)).argmax(0))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert {path.name for path in before} >= {"scene.gpkg", "scene.entropy.tif", "scene.qml"}
    code, out, _ = run(capsys, monkeypatch, *words)
    assert code == 0
    assert "is there already" in out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_dry_run_only_tells(scene, tmp_path, capsys, monkeypatch):
    code, out, _ = run(capsys, monkeypatch, "toy", scene, "-o", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "12 tiles" in out
    assert "from the first tiles" in out
    assert not (tmp_path / "out").exists()


def test_models_vote_and_tiles_are_turned(scene, toy, tmp_path, capsys, monkeypatch):
    words = ("--ensemble", "wide", "--tta", "turn", "--probabilities", "--storage", "uint16", "--tile", 128)
    code, _, _ = run(capsys, monkeypatch, "toy", scene, "-o", tmp_path / "map.tif", *words)
    assert code == 0
    pixels = read(scene)
    expected = direct(toy, pixels) / 2
    wide = segmenter(network(3, seed=1))
    # As the engine does it: the scene in the corner of a tile, the rest at the mean, all turned together.
    tile = np.full((3, 128, 128), 500, np.uint16)
    tile[:, :70, :90] = pixels
    for mirrored in (False, True):
        for turns in range(4):
            posed = np.rot90(tile[..., ::-1] if mirrored else tile, turns, (1, 2))
            found = np.rot90(direct(wide, posed.copy()), -turns, (1, 2))
            expected += (found[..., ::-1] if mirrored else found)[:, :70, :90] / 16
    with rasterio.open(tmp_path / "map.probabilities.tif") as file:
        assert np.abs(file.read() / 65534 - expected).max() < 2e-5


def test_bf16_changes_little(scene, tmp_path, capsys, monkeypatch):
    for precision in ("fp32", "bf16"):
        words = ("-o", tmp_path / precision, "--precision", precision)
        assert run(capsys, monkeypatch, "toy", scene, *words)[0] == 0
    same = read(tmp_path / "fp32" / "scene.tif") == read(tmp_path / "bf16" / "scene.tif")
    assert same.mean() > 0.95


def test_resampling_to_what_the_model_was_trained_on(scene, tmp_path, capsys, monkeypatch):
    assert run(capsys, monkeypatch, "rough", scene, "-o", tmp_path / "map.tif", "--resample", "trained")[0] == 0
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.res == (20, 20)


def test_one_scene_over_workers_becomes_the_map_that_is_named(scene, tmp_path, capsys, monkeypatch):
    listed = tmp_path / "scenes.txt"
    listed.write_text(f"{scene}\n")
    out = tmp_path / "out" / "map.tif"
    for words in ((scene, "--workers", 4), (scene, "--engine", "ray"), ("--list", listed)):
        code, told, err = run(capsys, monkeypatch, "toy", *words, "-o", out, "--dry-run")
        assert (code, err) == (0, "")
        assert told.startswith("map: 70 x 90 pixels")
    assert run(capsys, monkeypatch, "toy", "--list", listed, "-o", out)[0] == 0
    assert out.is_file()


@pytest.mark.slow
def test_many_scenes_leave_a_manifest_and_failures_hold_up_nothing(scene, tmp_path, capsys, monkeypatch):
    other = write_scene(tmp_path / "in" / "other.tif", ground(40, 50, seed=2))
    broken = tmp_path / "in" / "broken.tif"
    broken.write_bytes(other.read_bytes()[:200])
    listed = tmp_path / "scenes.txt"
    listed.write_text(f"# two good ones\n{scene}\n\n{broken}\n{other}\n")
    code, out, err = run(capsys, monkeypatch, "toy", "--list", listed, "-o", tmp_path / "out")
    assert code == 2
    assert "1 of 3 scenes failed" in err
    assert "[3/3]" in out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [entry["status"] for entry in manifest] == ["done", "failed", "done"]
    assert "cut short" in manifest[1]["error"]
    kept = (tmp_path / "out" / "scene.tif").stat().st_mtime_ns
    broken.unlink()
    write_scene(broken, ground(40, 50, seed=3))
    assert run(capsys, monkeypatch, "toy", "--list", listed, "-o", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "scene.tif").stat().st_mtime_ns == kept
    assert all(entry["status"] == "done" for entry in json.loads((tmp_path / "out" / "manifest.json").read_text()))
    code, out, _ = run(capsys, monkeypatch, "toy", scene, other, "-o", tmp_path / "dry", "--dry-run")
    assert code == 0
    assert out.count("tiles of 32") == 2
    assert not (tmp_path / "dry").exists()


def test_what_was_taken_on_trust_is_said(tmp_path, capsys, monkeypatch):
    bare = write_scene(tmp_path / "bare.tif", ground(20, 20), None)
    code, out, _ = run(capsys, monkeypatch, "toy", bare, "-o", tmp_path / "out")
    assert code == 0
    assert "does not name its bands" in out


def test_what_was_taken_on_trust_is_said_of_every_scene_of_an_archive_and_kept(tmp_path, capsys, monkeypatch):
    frugal = segmenter(takes_missing_bands=True)
    monkeypatch.setattr("sensam.maps.load_segmenter", lambda model, base=None: frugal)  # noqa: ARG005
    bare = write_scene(tmp_path / "bare.tif", ground(20, 20), None)
    two = write_scene(tmp_path / "two.tif", ground(20, 20)[:2], BANDS[:2])
    good = write_scene(tmp_path / "good.tif", ground(20, 20))
    for _ in ("made", "there already"):
        code, out, _ = run(capsys, monkeypatch, "toy", bare, two, good, "-o", tmp_path / "out")
        assert code == 0
        of_bare, of_two, of_good = out.splitlines()
        assert "bare.tif does not name its bands; taken in order as B02, B03, B04" in of_bare
        assert "two.tif lacks B04; the model has learnt to do without, and sees their mean" in of_two
        assert "; " not in of_good
        notes = [entry["note"] for entry in json.loads((tmp_path / "out" / "manifest.json").read_text())]
        assert ["does not name" in notes[0], "lacks B04" in notes[1], notes[2]] == [True, True, ""]


def test_the_python_function_does_the_same(scene, toy, tmp_path):
    import sensam

    calls = []
    made = sensam.predict(toy, scene, tmp_path / "map.tif", extras=("entropy",), progress=lambda *a: calls.append(a))
    assert [path.name for path in made] == ["map.entropy.tif", "map.tif"]
    assert len(calls) == 12
    assert sensam.predict(toy, [scene], tmp_path / "map.tif", extras=("entropy",)) == made
    with pytest.raises(SettingsError, match="Did you mean 'overlap'"):
        sensam.predict(toy, scene, tmp_path / "other.tif", overlapp=3)


@pytest.mark.slow
def test_a_strip_two_hundred_thousand_pixels_wide(tmp_path, capsys, monkeypatch):
    path = tmp_path / "strip.tif"
    write_scene(path, np.repeat(ground(3, 20_000, patch=40), 10, axis=2), tiled=True, compress="deflate", nodata=None)
    words = ("--tile", 512, "--overlap", 0, "--batch", 4)
    assert run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out", *words)[0] == 0
    with rasterio.open(tmp_path / "out" / "strip.tif") as file:
        assert file.shape == (3, 200_000)
        assert np.array_equal(file.read(1, window=((0, 3), (99_000, 99_500))), _expected(path, 99_000, 99_500))


def _expected(path: Path, start: int, stop: int):
    with rasterio.open(path) as file:
        pixels = file.read(window=((0, 3), (start, stop)))
    return direct(segmenter(), pixels).argmax(0)


@pytest.mark.slow
def test_names_without_training_code():
    """Reading this module's imports is enough: nothing here may have pulled in what trains."""
    import subprocess

    code = (
        "import sys, sensam.maps, sensam.infer.archive, sensam.infer.pools, sensam.infer.onnx_network;"
        "print([m for m in sys.modules if m.split('.')[:2] in (['sensam', 'train'], ['sensam', 'methods'],"
        " ['sensam', 'run'], ['sensam', 'sam'])], 'transformers' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[] False False\n", done.stderr


def test_panoramas_are_refused_quarter_turns(tmp_path, capsys, monkeypatch):
    pano = segmenter(sensor=sensor("equirectangular"))
    monkeypatch.setattr("sensam.maps.load_segmenter", lambda model, base=None: pano)  # noqa: ARG005
    path = write_scene(tmp_path / "pano.tif", ground(32, 64))
    code, _, err = run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out", "--tta", "turn")
    assert code == 2
    assert "Use --tta flip" in err
    assert run(capsys, monkeypatch, "toy", path, "-o", tmp_path / "out", "--tta", "flip")[0] == 0
