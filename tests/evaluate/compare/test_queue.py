"""A claim belongs to one, outlives nobody, and is never lost."""

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sensam.evaluate.compare.queue import Queue


def test_only_one_of_many_gets_it(tmp_path: Path) -> None:
    queue = Queue(tmp_path)

    def work(_: int) -> bool:
        with queue.claim("cell") as mine:
            time.sleep(0.05 if mine else 0)
            return mine

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(work, range(8)))
    assert 1 <= sum(won) <= 8
    with queue.claim("cell") as first, queue.claim("cell") as second:
        assert (first, second) == (True, False)
    assert list(tmp_path.iterdir()) == []


def _count(folder: Path, start: float) -> None:
    queue = Queue(folder)
    time.sleep(max(0.0, start - time.time()))
    for number in range(20):
        with queue.claim(f"cell-{number}") as mine:
            if mine and not (folder / f"done-{number}").exists():
                (folder / f"done-{number}").touch()
                with (folder / "log").open("a") as log:
                    log.write(f"{number}\n")


@pytest.mark.slow
def test_processes_share_the_work(tmp_path: Path) -> None:
    start = time.time() + 0.3
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(tmp_path, start)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(20))


def _claim_of_the_dead(path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    path.write_text(json.dumps({"host": platform.node(), "pid": int(gone.stdout)}))


def test_claims_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    _claim_of_the_dead(tmp_path / "written.claim")
    with queue.claim("cell"):
        queue.sweep()
        assert [path.name for path in tmp_path.iterdir()] == ["cell.claim"]


def test_a_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    _claim_of_the_dead(tmp_path / "cell.claim")
    with Queue(tmp_path).claim("cell") as mine:
        assert mine
        assert json.loads((tmp_path / "cell.claim").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_another_machine_counts_until_it_is_silent_for_long(tmp_path: Path) -> None:
    path = tmp_path / "cell.claim"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    queue = Queue(tmp_path, stale=60)
    with queue.claim("cell") as mine:
        assert not mine
    os.utime(path, (time.time() - 61,) * 2)
    with queue.claim("cell") as mine:
        assert mine


def test_signs_of_life_keep_a_claim(tmp_path: Path) -> None:
    queue = Queue(tmp_path, beat=0.02, stale=60)
    with queue.claim("cell"):
        path = tmp_path / "cell.claim"
        os.utime(path, (0, 0))
        deadline = time.time() + 5
        while path.stat().st_mtime < 1 and time.time() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime > 1


def test_a_claim_that_is_being_written_is_not_stale(tmp_path: Path) -> None:
    (tmp_path / "cell.claim").touch()
    with Queue(tmp_path).claim("cell") as mine:
        assert not mine


def test_a_failure_gives_the_claim_back(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    try:
        with queue.claim("cell"):
            raise RuntimeError("broken")
    except RuntimeError:
        assert list(tmp_path.iterdir()) == []


def test_who_slept_too_long_does_not_remove_the_claim_of_another(tmp_path: Path) -> None:
    other = json.dumps({"host": "elsewhere", "pid": 7})
    with Queue(tmp_path).claim("cell") as mine:
        assert mine
        (tmp_path / "cell.claim").write_text(other)
    assert (tmp_path / "cell.claim").read_text() == other
