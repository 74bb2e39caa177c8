"""Archives: many scenes over processes and Ray; a worker that dies loses nothing, and nothing is done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sensam.errors import InputError, MissingExtraError, SettingsError
from sensam.infer import pools
from sensam.infer.archive import Answer, Order, Task, loaded, map_archive, read_list, work
from sensam.infer.mapping import MapSettings, Target
from sensam.infer.pools import ATTEMPTS, Here, Processes, RayCluster, open_pool
from sensam.infer.voting import Vote
from sensam.infer.workplace import Workplace
from tests.infer.mapmaking import ground, make_map, network, read, segmenter, write_scene

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Toy:
    """Makes the model in a worker; with a marker, the worker dies once, when it has predicted a few tiles."""

    marker: str | None = None

    def __call__(self):
        vote = Vote([segmenter(network(3))], device="cpu")
        return vote if self.marker is None else Mortal(vote, Path(self.marker))


class Mortal:
    """A Vote that kills its own process at the fifth call, unless another did before."""

    def __init__(self, vote, marker):
        self.vote, self.marker, self.model, self.calls = vote, marker, vote.model, 0

    def __call__(self, image):
        self.calls += 1
        if self.calls == 5 and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.vote(image)


@pytest.fixture
def scenes(tmp_path):
    # The first is tall enough for two strips.
    sizes = [(330, 60), (70, 60), (60, 70)]
    return [str(write_scene(tmp_path / "in" / f"s{at}.tif", ground(*size, seed=at))) for at, size in enumerate(sizes)]


@pytest.fixture(autouse=True)
def forgotten():
    loaded.cache_clear()


def order(load=None, **settings):
    load = load or Toy()
    return Order(load, Toy()().model.fingerprint, MapSettings(**settings))


def maps(folder):
    return {path.name: read(path) for path in sorted(folder.glob("*.tif"))}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_scenes_and_strips_give_what_single_maps_give(scenes, tmp_path):
    wanted = order(extras=("confidence",))
    manifest = map_archive(wanted, scenes, tmp_path / "out", Here(wanted))
    assert [entry.status for entry in manifest.entries.values()] == ["done"] * 3
    for scene in scenes:
        make_map(segmenter(network(3)), scene, tmp_path / "single", extras=("confidence",))
    assert same(maps(tmp_path / "out"), maps(tmp_path / "single"))


@pytest.mark.slow
def test_running_again_does_only_what_is_missing(scenes, tmp_path):
    wanted = order()
    map_archive(wanted, scenes, tmp_path / "out", Here(wanted))
    (tmp_path / "out" / "s1.tif").unlink()
    kept = (tmp_path / "out" / "s0.tif").stat().st_mtime_ns
    asked = []

    class Counting(Here):
        def submit(self, task):
            asked.append(task.scene)
            super().submit(task)

    said = []
    map_archive(wanted, scenes, tmp_path / "out", Counting(wanted), lambda *told: said.append(told[1:]))
    assert set(asked) == {scenes[1]}
    assert (tmp_path / "out" / "s0.tif").stat().st_mtime_ns == kept
    assert said == [(1, 3), (2, 3), (3, 3)]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [entry["status"] for entry in manifest] == ["done"] * 3


@pytest.mark.slow
def test_an_empty_scene_fails_alone(scenes, tmp_path):
    empty = str(write_scene(tmp_path / "in" / "empty.tif", np.zeros((3, 40, 40), np.uint16)))
    wanted = order()
    manifest = map_archive(wanted, [empty, *scenes[1:]], tmp_path / "out", Here(wanted))
    assert [entry.status for entry in manifest.entries.values()] == ["failed", "done", "done"]
    assert "no valid pixel" in manifest.failed[0].error


@pytest.mark.parametrize("died", ["with its answer", "before it cleared", "while it cleared"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_map_that_is_finished_twice_stays_as_it_is(scenes, tmp_path, monkeypatch, died, overwrite):
    wanted = order(extras=("confidence",), overwrite=overwrite)
    target = Target.of(scenes[1], tmp_path / "out", alone=False)
    valid = work(wanted, Task(scenes[1], target, (0, 3))).valid
    finish = Task(scenes[1], target, None, valid)
    with monkeypatch.context() as dying:
        if died == "before it cleared":
            dying.setattr(Workplace, "clear", lambda _: None)
        if died == "while it cleared":
            dying.setattr(shutil, "rmtree", clear_half)
        first = work(wanted, finish)
    made = maps(tmp_path / "out")
    assert made.keys() == {"s1.tif", "s1.confidence.tif"}
    again = work(wanted, finish)
    assert (again.error, again.files) == ("", first.files)
    assert same(maps(tmp_path / "out"), made)
    assert not [path for path in target.folder.iterdir() if path.is_dir()]


def clear_half(folder, **_):
    """What a process that dies in the middle leaves: some files are gone."""
    for path in folder.glob("*.raw"):
        path.unlink()


def test_a_map_whose_planes_are_gone_is_not_made_of_zeros(scenes, tmp_path):
    wanted = order()
    target = Target.of(scenes[1], tmp_path / "out", alone=False)
    valid = work(wanted, Task(scenes[1], target, (0, 3))).valid
    shutil.rmtree(target.workplace)
    answer = work(wanted, Task(scenes[1], target, None, valid))
    assert f"{target.workplace}, in which {scenes[1]} was mapped, is gone" in answer.error
    assert list(target.folder.iterdir()) == []


def test_one_scene_becomes_the_map_that_is_named(scenes, tmp_path):
    """Also over many workers; the manifest of other maps in that folder stays."""
    others = tmp_path / "out" / "manifest.json"
    others.parent.mkdir()
    others.write_text("[]")
    wanted = order()
    manifest = map_archive(wanted, scenes[:1], tmp_path / "out" / "map.tif", Here(wanted))
    assert manifest.entries[scenes[0]].files == [str(tmp_path / "out" / "map.tif")]
    assert json.loads((tmp_path / "out" / "map.manifest.json").read_text())[0]["status"] == "done"
    assert others.read_text() == "[]"
    with pytest.raises(SettingsError, match="several scenes"):
        map_archive(wanted, scenes, tmp_path / "out" / "map.tif", Here(wanted))


def test_scenes_of_one_name_are_refused(scenes, tmp_path):
    other = tmp_path / "other" / "s0.tif"
    write_scene(other, ground(40, 40))
    wanted = order()
    with pytest.raises(InputError, match="would both become"):
        map_archive(wanted, [*scenes, str(other)], tmp_path / "out", Here(wanted))


def test_lists(tmp_path):
    path = tmp_path / "scenes.txt"
    path.write_text("a.tif\n# b.tif\n\n  c.tif\n")
    assert read_list(path) == ["a.tif", "c.tif"]


def test_without_ray_a_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"sensam\[scale\]"):
        open_pool(order(), "ray", 1, None)
    with pytest.raises(SettingsError, match="--engine ray"):
        open_pool(order(), "process", 1, "auto")


@pytest.mark.slow
def test_a_process_that_dies_loses_nothing(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plain = order()
    map_archive(plain, scenes, tmp_path / "whole", Here(plain))
    wanted = order(Toy(str(tmp_path / "died")))
    manifest = map_archive(wanted, scenes, tmp_path / "out", Processes(wanted, 2))
    assert (tmp_path / "died").exists()
    assert not manifest.failed
    assert same(maps(tmp_path / "out"), maps(tmp_path / "whole"))


def name(_, task):  # stands for `work`
    return Answer(files=(task.scene,))


@pytest.mark.slow
def test_tasks_that_come_when_a_worker_has_died_go_to_those_that_replace_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(pools, "work", name)
    start, started = Processes._start, []

    def start_broken(self):
        started.append(start(self))
        if len(started) == 1:
            wait([started[0].submit(os._exit, 1)])
        elif len(started) <= ATTEMPTS:  # as above, in no time
            started[-1]._broken = "a worker died"
        return started[-1]

    monkeypatch.setattr(Processes, "_start", start_broken)
    pool = Processes(order(), 1)
    for scene in ("a", "b"):
        pool.submit(Task(scene, Target(tmp_path, scene)))
    assert sorted((task.scene, answer.files) for task, answer in pool.answers()) == [("a", ("a",)), ("b", ("b",))]
    assert len(started) == ATTEMPTS + 1


ORPHANED = """
import os, time
from sensam.infer.pools import Processes
if __name__ == "__main__":
    pool = Processes(None, 2)._start()
    asleep = [pool.submit(time.sleep, 300) for _ in range(2)]
    while len(pool._processes) < 2 or not all(future.running() for future in asleep):
        time.sleep(0.05)
    print(*pool._processes, flush=True)
    time.sleep(300)
"""


@pytest.mark.slow
def test_workers_end_when_their_parent_was_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ORPHANED)
    words = [sys.executable, str(script)]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    deadline = time.monotonic() + 60
    while any(map(_is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [worker for worker in workers if _is_alive(worker)]
    for worker in left:
        os.kill(worker, signal.SIGKILL)
    assert not left


def _is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets and processes to the garbage collector
def test_a_ray_worker_that_dies_on_a_cluster_of_two_nodes_loses_nothing(scenes, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plain = order()
    map_archive(plain, scenes, tmp_path / "whole", Here(plain))
    memory = {"object_store_memory": 80 * 2**20, "num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=memory)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        wanted = order(Toy(str(tmp_path / "died")))
        pool = RayCluster(wanted, cluster.address, 2)
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
        manifest = map_archive(wanted, scenes, tmp_path / "out", pool)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (tmp_path / "died").exists()
    assert not manifest.failed
    assert same(maps(tmp_path / "out"), maps(tmp_path / "whole"))
