"""`sensam teacher`: trains to a model that loads, goes on where it stopped, and scores it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.evaluate import contest
from sensam.evaluate.clicks import Picture, Score
from sensam.evaluate.contest import Contest, Entry, Lead
from sensam.sam import weights
from sensam.sam.model import Sam
from sensam.sam.nano import terms
from sensam.sam.weights import load_sam
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("teaching nano needs torch 2.9")
    out = tmp_path_factory.mktemp("teacher")
    result = CliRunner().invoke(app, ["teacher", "train", str(out), "--steps", "1"])
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_a_trained_teacher_loads(trained: Path) -> None:
    sam = load_sam(trained / "model")
    assert sam.loaded is not None
    assert not sam.loaded.random
    assert sam.anatomy.patch == 8


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(trained: Path) -> None:
    curve = (trained / "term-2" / "curve.csv").read_text()
    result = CliRunner().invoke(app, ["teacher", "train", str(trained), "--steps", "1"])
    assert result.exit_code == 0
    assert (trained / "term-2" / "curve.csv").read_text() == curve


@pytest.mark.slow
def test_scores_stand_beside_flood_fill_and_the_untrained(tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    result = CliRunner().invoke(app, ["teacher", "score", "--scenes", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    entries = json.loads(out.read_text())["scores"]["2 generated scenes"]
    click = {entry["name"].split(",")[0]: entry["click"]["mean"] for entry in entries if entry["click"]}
    assert list(click) == ["nano", "flood fill", "the same"]
    assert click["nano"] > click["the same"] + 0.1  # what ships has learnt something
    assert np.isfinite(list(click.values())).all()


def test_what_is_taught_needs_a_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine")
    assert run("teacher", "train", tmp_path / "taken") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: Cannot write to {tmp_path / 'taken'}: ")
    assert error.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_teacher_does_not_overwrite_a_model(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "teach", lambda *_, **__: pytest.fail("an hour before the mistake is told"))
    (tmp_path / "model").mkdir()
    assert run("teacher", "train", tmp_path) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} holds model and is no folder of a teacher's terms: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--photos", "nowhere"), "nowhere holds no images"),
        (("--out", "."), "--out . is a folder"),
        (("--out", "taken/scores.json"), "Cannot write to taken: "),
    ],
)
def test_nothing_is_scored_before_the_folders_are_right(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, str],
    message: str,
) -> None:
    monkeypatch.setattr(weights, "load_sam", lambda _: pytest.fail("the mistake was there to see before"))
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine")
    assert run("teacher", "score", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_table_is_printed_as_soon_as_it_is_ready(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []

    def judge(_: Sam, pictures: list[Picture]) -> Contest:
        printed.append(capsys.readouterr().out)
        half, ahead = Score(0.5, 0.4, 0.6, 7), Score(0.125, -0.25, 0.375, 7)
        return Contest((Entry(f"so many: {len(pictures)}", None, half),), (Lead("a rival", None, ahead, ahead),))

    monkeypatch.setattr(contest, "contest", judge)
    for folder in ("images", "segs"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "photos" / "images" / "one.jpg")
    np.savez(tmp_path / "photos" / "segs" / "one.npz", segs=np.zeros((1, 6, 8), np.int64))
    out = tmp_path / "new" / "scores.json"
    assert run("teacher", "score", "--scenes", 2, "--photos", tmp_path / "photos", "--out", out) == 0
    assert printed[0].startswith("SAM nano for 3 bands from ")
    assert "so many: 2" in printed[1]
    last = capsys.readouterr().out
    assert "so many: 1" in last
    assert "+0.125 [-0.250, +0.375]" in last
    written = json.loads(out.read_text())
    assert list(written["scores"]) == list(written["leads"]) == ["2 generated scenes", "photographs"]
