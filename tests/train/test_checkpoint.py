"""What a power cut may leave of a run: `last` never names weights that the disk may not hold yet."""

import os
from pathlib import Path

import pytest
import torch

from sensam.errors import InputError
from sensam.train.checkpoint import LAST, Best, Checkpoints, Progress

NAME = "best-0-00000001.safetensors"
BEST = Best(0.5, 1, NAME)
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="which file is synced is told by Linux alone")


def kept(folder: Path) -> Checkpoints:
    """The checkpoints of a run that has just had its best validation."""
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.keep_best(NAME, {"x": torch.ones(2)})
    return checkpoints


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is synced, moved and removed, in this order."""
    seen: list[tuple[str, str]] = []
    sync, move, remove = os.fsync, Path.replace, Path.unlink

    def fsync(file: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{file}").readlink().name))
        sync(file)

    def replace(self: Path, target: Path) -> Path:
        seen.append(("move", target.name))
        return move(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        seen.append(("remove", self.name))
        remove(self, missing_ok)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    return seen


@LINUX
def test_best_weights_are_on_the_disk_before_last_may_name_them(tmp_path: Path, events: list[tuple[str, str]]) -> None:
    kept(tmp_path).save(Progress(best=BEST), {"x": torch.ones(2)}, [])
    assert events == [
        ("sync", f".{NAME}.partial"),
        ("move", NAME),
        ("sync", "checkpoints"),
        ("sync", f".{LAST}.partial"),
        ("move", LAST),
        ("sync", "checkpoints"),
    ]


@LINUX
def test_older_weights_go_only_after_a_last_that_does_not_name_them(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    kept(tmp_path).save(Progress(), {"x": torch.ones(2)}, [])
    assert events[-3:] == [("move", LAST), ("sync", "checkpoints"), ("remove", NAME)]


def test_a_folder_that_cannot_be_synced_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give = os.open

    def refuse(path: Path, *flags: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Windows opens no folder")
        return give(path, *flags)

    monkeypatch.setattr(os, "open", refuse)
    assert torch.equal(kept(tmp_path).read_best(BEST)["x"], torch.ones(2))


@pytest.mark.parametrize("content", [None, b"", b"half"])
def test_best_weights_that_are_missing_or_broken_are_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    checkpoints = kept(tmp_path)
    path = checkpoints.folder / NAME
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{NAME} cannot be read .* Remove {tmp_path} and start again\.") as caught:
        checkpoints.read_best(BEST)
    assert "\n" not in str(caught.value)
