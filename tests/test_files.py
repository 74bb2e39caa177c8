"""What a file's reader sees while it is written, after an error, and when two write it."""

from multiprocessing import get_context
from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch
from safetensors.torch import load_file

from sensam.files import together, whole, write_tensors, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    path.write_text("old")

    def write(error: type[BaseException]) -> None:
        with whole(path) as unfinished:
            unfinished.write_text("half")
            raise error

    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error):
            write(error)
        assert path.read_text() == "old"
        assert names(tmp_path) == ["map.tif"]


def test_the_file_appears_at_the_end_under_the_name_it_was_made_with(tmp_path: Path) -> None:
    path = tmp_path / "map.tar.gz"
    with whole(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
        assert unfinished.name == path.name
        assert tmp_path in unfinished.parents, "a rename across file systems is no rename"
        assert all(name.startswith(".") for name in names(tmp_path))
    assert path.read_text() == "new"
    assert names(tmp_path) == ["map.tar.gz"]


def test_a_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_text(tmp_path / "text", "")
    write_tensors(tmp_path / "tensors", {"x": torch.ones(2)})
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1
    assert load_file(tmp_path / "tensors")["x"].sum() == 2


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(tmp_path / "a"):
        pass
    with pytest.raises(FileNotFoundError), whole(tmp_path / "missing" / "a"):
        pytest.fail("there is no folder to write to")
    assert not names(tmp_path)


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with whole(path) as first, whole(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert (first.read_text(), second.read_text()) == ("first", "second")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["a.json"]


def repeat(path: Path, letter: str) -> None:
    for _ in range(30):
        write_text(path, letter * 5000)


@pytest.mark.slow
def test_processes_that_write_one_file_leave_one_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "a.txt"
    writers = [get_context("fork").Process(target=repeat, args=(path, letter)) for letter in "xyz"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        seen = path.read_text() if path.exists() else "x" * 5000
        assert seen in {letter * 5000 for letter in "xyz"}
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert names(path.parent) == ["a.txt"]


def test_threads_of_one_process_do_not_share_a_place(tmp_path: Path) -> None:
    places, together_now = [], Barrier(2)

    def write() -> None:
        with whole(tmp_path / "a") as unfinished:
            places.append(unfinished)
            together_now.wait(timeout=10)
            unfinished.touch()

    threads = [Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(places)) == 2
    assert names(tmp_path) == ["a"]


def test_files_that_belong_together_appear_together(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("old")
    with pytest.raises(FileNotFoundError), together(tmp_path, "weights", "config") as unfinished:
        (unfinished / "config").write_text("new")
    assert (tmp_path / "config").read_text() == "old"
    assert names(tmp_path) == ["config"]
    with together(tmp_path, "weights", "config") as unfinished:
        (unfinished / "weights").write_text("new")
        (unfinished / "config").write_text("new")
        (unfinished / "weights.journal").write_text("left by a writer")
    assert names(tmp_path) == ["config", "weights"]
