"""The picture of a teacher is a whole picture or says in one line why it cannot."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from sensam.evaluate import demonstration
from sensam.sam.model import build_sam
from sensam.sam.weights import save_sam
from tests.cli.conftest import Run


@pytest.fixture
def untaught(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_sam(build_sam("nano"), tmp_path / "untaught")
    return tmp_path / "untaught"


@pytest.mark.slow
def test_a_picture_and_a_table(
    run: Run, untaught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstration, "EVERYTHING", replace(demonstration.EVERYTHING, points_per_side=4))
    out = tmp_path / "new" / "folder"
    assert run("teacher", "show", out, "--teacher", untaught, "--scenes", 1, "--first", 3) == 0
    printed = capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["teacher.png"]
    assert str(out / "teacher.png") in printed.replace("\n", "")
    table = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.strip()}
    assert len(table["3"]) == 4
    assert table["all"] == table["3"][:3]
    with Image.open(out / "teacher.png") as picture:
        assert picture.width > 4 * picture.height > 1000


def test_a_file_in_the_way(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine")
    assert run("teacher", "show", tmp_path / "taken") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: Cannot write to {tmp_path / 'taken'}: ")
    assert error.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_teacher_nobody_knows(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("teacher", "show", tmp_path, "--teacher", tmp_path / "absent.pth") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "absent.pth" in error
    assert not list(tmp_path.iterdir())
