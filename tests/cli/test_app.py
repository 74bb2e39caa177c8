"""The command line answers at once, says mistakes in one line, and shows an example for every command."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
import typer.core
from typer.testing import CliRunner

from sensam import __version__
from sensam.cli import app as command_line
from sensam.errors import InputError

HEAVY = {"torch", "numpy", "rasterio", "transformers", "matplotlib", "scipy", "xarray", "h5py", "ray"}


def commands(group: typer.core.TyperGroup, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, and of every command in a group."""
    for name, command in sorted(group.commands.items()):
        yield (*before, name)
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, *before, name)


COMMANDS = list(commands(typer.main.get_group(command_line.app)))
QUESTIONS = [("--help",), ("--version",), *((*words, "--help") for words in COMMANDS)]
ASKING = """
import contextlib, io, json, sys
from sensam.cli.app import main
answers = []
for question in json.loads(sys.argv[1]):
    sys.argv = ["sensam", *question]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main()
    answers.append((said.getvalue(), sorted(sys.modules)))
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[tuple[str, ...], tuple[str, list[str]]]:
    """What each question prints, and all that is loaded by then, in a process that began with none of it."""
    asked = [sys.executable, "-c", ASKING, json.dumps(QUESTIONS)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return dict(zip(QUESTIONS, json.loads(said), strict=True))


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_load_nothing_heavy(
    question: tuple[str, ...], answers: dict[tuple[str, ...], tuple[str, list[str]]]
) -> None:
    text, loaded = answers[question]
    assert not HEAVY & set(loaded)
    assert text.strip() == f"sensam {__version__}" if question == ("--version",) else "Usage" in text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(command_line.app, [*words, "--help"], env={"COLUMNS": "200"}).stdout
    assert f"sensam {' '.join(words)}" in text.partition("Example:")[2]


def test_commands_in_groups_are_asked_too() -> None:
    assert ("teacher", "train") in COMMANDS


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
