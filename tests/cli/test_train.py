"""`sensam train` and `sensam evaluate`, as a user would run them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app, main
from sensam.data.synthetic import family, write
from sensam.errors import SensamError

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


@pytest.mark.slow
def test_a_file_of_settings_says_where_the_run_goes(fog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"data: {fog}\nmethod: tests.train.tiny:Tiny\nout: mine\ntrain: {{size: 32, workers: 0}}\n")
    call("train", "--config", settings)
    assert (tmp_path / "mine" / "model").is_dir()
    call("train", "--config", settings, "--out", "theirs")
    assert (tmp_path / "theirs" / "model").is_dir()
    assert not (tmp_path / "runs").exists()


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


ONE = ["--set", "train.size=32", "--set", "train.workers=0", "--set", "track=[]", "--set", "train.steps=1"]


@pytest.fixture(scope="module")
def begun(fog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one step a stage."""
    out = tmp_path_factory.mktemp("begun") / "run"
    call("train", fog, "--method", "tests.train.tiny:Tiny", "--out", out, *ONE)
    return out


@pytest.mark.parametrize("machine", ["", "cpu"])
def test_a_machine_that_is_no_mapping_is_told(tmp_path: Path, machine: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"data: here\nmethod: scratch\nmachine: {machine}\n")
    assert "machine" in complaint("train", "--config", file)


def complaint(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SensamError), result.output
    return str(result.exception)


def test_what_is_set_for_all_stages_outranks_what_a_run_wrote_down(begun: Path, tmp_path: Path) -> None:
    new, setting = tmp_path / "new", ["--set", "train.steps=2", "--set", "stages.finetune.steps=3"]
    text = call("train", "--config", begun / "run.yaml", *setting, "--out", new)
    assert "stage inherit: 2 steps" in text
    assert "stage finetune: 3 steps" in text
    for setting in ("train.rate=0.5", "train={rate: 0.5}"):
        told = complaint("train", "--resume", "--set", setting, "--out", begun)
        assert "stages.inherit.rate = 0.003, now it is 0.5" in told


def test_a_run_goes_on_by_what_it_wrote_down(fog: Path, begun: Path, tmp_path: Path) -> None:
    assert "is finished" in call("train", fog, "--resume", "--out", begun)
    for given in ([], [fog], ["--method", "tests.train.tiny:Tiny"]):
        told = complaint("train", *given, "--resume", "--out", tmp_path / "nowhere")
        assert told.startswith(f"{tmp_path / 'nowhere'} holds no run")
    assert not (tmp_path / "nowhere").exists()
