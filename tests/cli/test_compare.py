"""The command of comparisons reads plans and flags alike, and says in one line what it cannot do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.evaluate.compare.plan import Plan

runner = CliRunner()


@pytest.mark.parametrize("command", ["compare", "report", "claims", "reproduce"])
def test_help_shows_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"sensam {command}" in result.output


def test_mistakes_are_said_in_one_line(tmp_path: Path) -> None:
    for words, complaint in (
        (["compare", str(tmp_path), "--shares", "all"], "Write parts of the labels as 0.1,0.3,1"),
        (["compare", str(tmp_path), "--shares", "²"], "Write parts of the labels as 0.1,0.3,1"),
        (["compare", str(tmp_path), "--set", "train.sise=3"], "Did you mean 'size'"),
        (["compare", str(tmp_path), "--methods", ""], "entries"),
        (["report", str(tmp_path)], "holds no finished run"),
        (["reproduce", "e2sam", "--data", "shift"], "Write NAME=PATH"),
        (["reproduce", "e2sam", "--table", "README.md"], "give that file too"),
        (["reproduce", "e2sam", "--claims", "A1", "--data", "shfit=/x"], "Did you mean 'shift'"),
    ):
        result = runner.invoke(app, words)
        assert complaint in str(result.exception), words
        assert "\n" not in str(result.exception)


def test_flags_are_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr("sensam.cli.compare._run", lambda plan, *_, **__: plans.append(plan))
    words = ["compare", str(tmp_path), "--methods", "scratch, e2sam", "--seeds", "2", "--shares", "0.1,1"]
    words += ["--set", "train.size=64", "--set", "inherit_steps=9"]
    for budget in (["--steps", "5"], ["--minutes", "3"], []):
        assert runner.invoke(app, [*words, *budget]).exit_code == 0
    assert [(plan.steps, plan.minutes) for plan in plans] == [(5, None), (None, 3.0), (400, None)]
    plan = plans[0]
    assert (list(plan.entries), plan.seeds, plan.shares) == (["scratch", "e2sam"], (0, 1), (0.1, 1.0))
    assert (plan.train.size, plan.inherit_steps, plan.teacher) == (64, 9, "nano")
    assert "give one of them" in str(runner.invoke(app, [*words, "--steps", "5", "--minutes", "3"]).exception)


def test_a_flag_beside_a_plan_is_not_passed_over(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("data: nowhere\nmethods: [scratch]\nsteps: 2\n")
    assert "or use --set seeds=5" in str(runner.invoke(app, ["compare", str(plan), "--seeds", "5"]).exception)
    assert "Change it there." in str(runner.invoke(app, ["compare", str(plan), "--shares", "0.1"]).exception)


def test_a_plan_in_yaml_is_told_from_a_data_set(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("data: nowhere\nmethods: [scratch]\nsteps: 2\nseeds: 1\nsharse: [1]\n")
    assert "Did you mean 'shares'" in str(runner.invoke(app, ["compare", str(plan)]).exception)
    plan.write_text(f"data: {tmp_path / 'nowhere'}\nmethods: [scratch]\nsteps: 2\n")
    result = runner.invoke(app, ["compare", str(plan), "--out", str(tmp_path / "out")])
    assert "does not exist" in str(result.exception)
