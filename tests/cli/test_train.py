"""`sensam train` and `sensam evaluate`, as a user would run them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app, main
from sensam.data.synthetic import family, write

QUICK = ["--set", "train.size=32", "--set", "train.batch=2", "--set", "train.workers=0", "--set", "track=[]"]


@pytest.fixture(scope="module")
def fog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fog") / "data"
    write(family("seafog"), folder, seed=0, counts={"train": 2, "val": 1, "test": 1}, size=(32, 32))
    return folder


def call(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_from_data_to_scores(fog: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    text = call("train", fog, "--method", "tests.train.tiny:Tiny", "--out", out, *QUICK)
    assert text.count("SAM nano for 3 bands from ") == 1
    assert "stage inherit: 2 steps from no labels; trains" in text
    assert "val miou" in text
    assert f"sensam evaluate {out} {fog}" in text
    text = call("evaluate", out, fog, "--out", tmp_path / "scores.json")
    assert "mean over the classes with a union" in text
    assert json.loads((tmp_path / "scores.json").read_text())["split"] == "test"
    again = call("train", "--resume", "--out", out)
    assert "going on at step" in again


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--method", "scrach"], "'scrach'. Did you mean 'scratch'?"),
        (["--method", "tests.train.tiny:Tiny", "--set", "train.szie=32"], "'szie'. Did you mean 'size'?"),
        (["--method", "tests.train.tiny:Tiny", "--set", "stages.inhreit.epochs=1"], "Did you mean 'inherit'?"),
        ([], "method is missing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    fog: Path,
    tmp_path: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["sensam", "train", str(fog), "--out", str(tmp_path / "run"), *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
