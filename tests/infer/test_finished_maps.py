"""A map is there when it is finished or not at all: killed runs go on, and refusals and full disks leave nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sensam.errors import InputError, SettingsError
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.vectors import Outlines
from sensam.infer.voting import Vote
from tests.infer.mapmaking import (
    Failing,
    ground,
    make_map,
    network,
    read,
    segmenter,
    write_scene,
)


@pytest.mark.slow
def test_outputs_appear_only_when_complete_and_a_second_run_goes_on(scene, tmp_path):
    path, _ = scene
    out = tmp_path / "out"
    model = segmenter(network(3))
    job = SceneJob(model, "same", str(path), Target(out, "map"), MapSettings())
    failing = segmenter(Failing(network(3), 7))
    with pytest.raises(KeyboardInterrupt):
        job.run(Vote([failing], device="cpu"))
    assert [entry.name for entry in out.iterdir()] == ["map.partial"]
    again = segmenter(Failing(network(3), 1000))
    job = SceneJob(model, "same", str(path), Target(out, "map"), MapSettings())
    made = job.complete(job.run(Vote([again], device="cpu")))[-1]
    assert again.network.seen < job.layout.tiles - 3
    (fresh,) = make_map(model, path, tmp_path / "fresh")
    assert np.array_equal(read(made), read(fresh))
    assert SceneJob(model, "same", str(path), Target(out, "map"), MapSettings()).is_done
    other = SceneJob(model, "another", str(path), Target(out, "map"), MapSettings())
    with pytest.raises(InputError, match="--overwrite"):
        assert other.is_done
    assert not SceneJob(model, "another", str(path), Target(out, "map"), MapSettings(overwrite=True)).is_done


def test_a_folder_of_somebody_else_is_not_removed(scene, tmp_path):
    path, _ = scene
    own = tmp_path / "map.partial" / "notes.txt"
    own.parent.mkdir()
    own.write_text("mine")
    job = SceneJob(segmenter(), "same", str(path), Target(tmp_path, "map"), MapSettings())
    with pytest.raises(InputError, match=r"map\.partial is in the way"):
        job.open()
    assert own.read_text() == "mine"
    (own.parent / "plan.json").write_text("[1]")
    with pytest.raises(InputError, match="is in the way"):
        job.open()
    for left in own.parent.iterdir():
        left.unlink()
    (own.parent / "classes.raw").write_bytes(b"")  # killed before it wrote its plan
    assert not job.open().thrown_away
    assert job.open().is_resumed


def test_what_another_run_left_is_not_thrown_away_silently(scene, tmp_path):
    path, _ = scene
    with pytest.raises(KeyboardInterrupt):
        SceneJob(segmenter(), "same", str(path), Target(tmp_path, "map"), MapSettings()).run(
            Vote([segmenter(Failing(network(), 7))], device="cpu")
        )
    job = SceneJob(segmenter(), "other", str(path), Target(tmp_path, "map"), MapSettings())
    assert f"of an earlier run in {tmp_path / 'map.partial'}: its model" in job.open().thrown_away
    assert not job.open().thrown_away


KILLED = """
import sys, time
from tests.infer.mapmaking import segmenter, network
from sensam.infer import mapping
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.schedule import beside, between
from sensam.infer.vectors import Outlines
from sensam.infer.voting import Vote
from pathlib import Path
model = segmenter(network(3))
vote = Vote([model], device="cpu")
def slow(image):
    time.sleep(0.02)
    return vote(image)
SceneJob(model, "same", sys.argv[1], Target(Path(sys.argv[2]), "map"), MapSettings()).run(slow)
"""


@pytest.mark.slow
def test_a_process_killed_for_good_loses_nothing(tmp_path):
    path = write_scene(tmp_path / "scene.tif", ground(400, 400))
    out = tmp_path / "out"
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", KILLED, path, out], cwd=root)
    journal = out / "map.partial" / "strip-000000" / "done.json"
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline and not (journal.exists() and json.loads(journal.read_text())["batches"] > 20):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [entry.name for entry in out.iterdir()] == ["map.partial"]
    model = segmenter(Failing(network(3), 10_000))
    job = SceneJob(segmenter(network(3)), "same", str(path), Target(out, "map"), MapSettings())
    made = job.complete(job.run(Vote([model], device="cpu")))[-1]
    assert model.network.seen <= job.layout.tiles - 20
    (fresh,) = make_map(segmenter(network(3)), path, tmp_path / "fresh")
    assert np.array_equal(read(made), read(fresh))


def test_what_cannot_be_mapped_is_refused_before_anything_is_written(scene, tmp_path):
    path, _ = scene
    model = segmenter()
    cases = {
        "lies outside": {"box": (0.0, 0.0, 10.0, 10.0)},
        "has no area": {"box": (500_500.0, 4_999_500.0, 500_500.0, 4_999_600.0)},
        "0 to 16": {"overlap": 17},
        "makes no sense": {"resolution": 0.0},
        "at a time": {"batch": 0},
        "Give one of them": {"box": (500_000.0, 4_999_500.0, 500_500.0, 4_999_600.0), "area": path},
    }
    for answer, settings in cases.items():
        with pytest.raises((InputError, SettingsError), match=answer):
            make_map(model, path, tmp_path / "out", **settings)
    with pytest.raises(InputError, match="the scene itself"):
        make_map(model, path, path)
    with pytest.raises(SettingsError, match="several scenes"):
        Target.of("a.tif", tmp_path / "map.tif", alone=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".tiff", ".TIF"])
def test_a_map_keeps_the_name_it_was_given(scene, tmp_path, suffix):
    out = tmp_path / "out" / f"map{suffix}"
    made = make_map(segmenter(), scene[0], out, extras=("confidence",), outlines=Outlines("gpkg"))
    assert [path.name for path in made] == [f"map.confidence{suffix}", "map.gpkg", out.name]
    assert {path.name for path in out.parent.iterdir()} >= {"map.qml", f"{out.name}.aux.xml", *(p.name for p in made)}
    assert read(out).shape == (1, 90, 130)


def test_a_scene_without_a_valid_pixel_leaves_nothing_behind(tmp_path):
    path = write_scene(tmp_path / "empty.tif", np.zeros((3, 40, 40), np.uint16))
    with pytest.raises(InputError, match="no valid pixel"):
        make_map(segmenter(), path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_noticed_before_and_during(scene, tmp_path, monkeypatch):
    path, _ = scene
    free = os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, 0, 255))
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: free)
        with pytest.raises(InputError, match="has room for"):
            make_map(segmenter(), path, tmp_path / "out")

    def no_room(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", no_room)
        with pytest.raises(InputError, match="the disk is full"):
            make_map(segmenter(), path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tif"))
    (made,) = make_map(segmenter(), path, tmp_path / "out")
    assert made.is_file()
