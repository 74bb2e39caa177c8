"""`sensam teacher`: trains to a model that loads, goes on where it stopped, and scores it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.sam.weights import load_sam


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
