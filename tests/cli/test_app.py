"""The command line answers at once, says mistakes in one line, and shows an example for every command."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from sensam import __version__
from sensam.cli import app as command_line
from sensam.errors import InputError

HEAVY = {"torch", "numpy", "rasterio", "transformers", "matplotlib", "scipy", "xarray", "h5py", "ray"}
COMMANDS = sorted(typer.main.get_group(command_line.app).commands)


@pytest.mark.parametrize("question", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_questions_load_nothing_heavy(question: list[str]) -> None:
    program = (
        "import sys; from sensam.cli.app import main; sys.argv = ['sensam', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "print('loaded:', *sys.modules); sys.exit(code)"
    )
    answer = subprocess.run([sys.executable, "-c", program, *question], capture_output=True, text=True, check=True)
    text, _, loaded = answer.stdout.rpartition("loaded:")
    assert not HEAVY & set(loaded.split())
    assert text.strip() == f"sensam {__version__}" if question == ["--version"] else "Usage" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name: str) -> None:
    text = CliRunner().invoke(command_line.app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    assert f"sensam {name}" in text.partition("Example:")[2]


def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise InputError("scene.tif has 4 bands, sentinel2 has 13.")

    monkeypatch.setattr(command_line, "app", fail)
    with pytest.raises(SystemExit) as end:
        command_line.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: scene.tif has 4 bands, sentinel2 has 13.\n"


def test_what_is_no_mistake_of_the_user_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "app", fail)
    with pytest.raises(ZeroDivisionError):
        command_line.main()


def test_an_unknown_command_names_the_nearest() -> None:
    answer = CliRunner().invoke(command_line.app, ["dmo"])
    assert answer.exit_code == 2
    assert "demo" in answer.output
