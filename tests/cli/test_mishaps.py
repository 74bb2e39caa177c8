"""Outputs that cannot be written and memory that runs out: one line that says where, and before the work."""

import errno
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from rasterio.errors import RasterioIOError
from safetensors import SafetensorError

from sensam.cli import app as command_line
from sensam.files import try_place, whole
from tests.cli.conftest import Run


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def too_much() -> None:
    torch.empty(10**15)


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (raising(PermissionError(errno.EACCES, "Permission denied", "/data/map.tif")), "/data/map.tif cannot be writt"),
        (raising(OSError(errno.ENOSPC, "No space left on device")), "No space left on device"),
        (raising(SafetensorError("Error while serializing: I/O error")), "Error while serializing: I/O error"),
        (raising(RasterioIOError("Write error at scanline 5\nand more")), "(Write error at scanline 5)"),
        (raising(RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0")), "PytorchStreamWriter"),
        (raising(MemoryError()), "not enough memory"),
        (too_much, "not enough memory"),
    ],
)
def test_a_failure_of_the_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fail: Callable[[], None], told: str
) -> None:
    monkeypatch.setattr(command_line, "app", fail)
    with pytest.raises(SystemExit) as end:
        command_line.main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ")
    assert told in said
    assert said.count("\n") == 1


def test_ctrl_c_ends_with_a_word(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sensam.evaluate.walk.walk", raising(KeyboardInterrupt()))
    assert run("demo", tmp_path / "demo") == command_line.INTERRUPTED
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "pipe"), KeyboardInterrupt(), OSError("unclear")])
def test_what_is_neither_stays_as_it_was(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(command_line, "app", raising(error))
    with pytest.raises(type(error)):
        command_line.main()


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    def fill() -> None:
        with whole(tmp_path / "map.tif"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_nowhere() -> None:
        with whole(tmp_path / "map.tif") as unfinished:
            unfinished.mkdir()
            unfinished.write_text("x")

    def begin_nowhere() -> None:
        with whole(tmp_path / "none" / "map.tif"):
            pass

    for write, place in ((fill, "map.tif"), (write_nowhere, "map.tif"), (begin_nowhere, "none/map.tif")):
        with pytest.raises(OSError, match=r"map\.tif") as caught:
            write()
        assert caught.value.filename == str(tmp_path / place)


def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    for name in ("old.json", "new/deep.json"):
        try_place(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["old.json"]
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        try_place(tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("reproduce", "e2sam", "--claims", "A1", "--out", "runs", "--results", "file/r.json"), "file"),
        (("reproduce", "e2sam", "--claims", "A1", "--out", "file"), "file cannot be written"),
        (("reproduce", "e2sam", "--out", "runs", "--results", "file"), "holds no results"),
        (("reproduce", "e2sam", "--out", "runs", "--results", "r", "--table", "none.md"), "none.md cannot"),
        (("compare", "data", "--out", "file"), "file cannot be written"),
        (("export", "runs/none", "-o", "file/model.onnx"), "file cannot be written"),
        (("export", "runs/none", "-o", "folder"), "it is a folder"),
        (("export", "runs/none", "-f", "hf", "-o", "file"), "file cannot be written"),
        (("evaluate", "runs/none", "data", "--out", "folder.json"), "it is a folder"),
    ],
)
def test_outputs_are_tried_before_the_work(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    # sensam.evaluate is a function's name as well
    monkeypatch.setattr(import_module("sensam.evaluate.reproduce"), "reproduce", lambda *_, **__: sys.exit(7))
    (tmp_path / "file").write_text("no JSON")
    for name in ("folder", "folder.json"):
        (tmp_path / name).mkdir()
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
