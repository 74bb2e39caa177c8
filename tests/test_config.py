"""Settings: who wins over whom, what a misspelt name is told, and that a written run.yaml reads back the same."""

from pathlib import Path

import pytest
import yaml

from sensam.config import EPOCHS, RunSettings, TrainSettings, override, read_settings, validate, write_settings
from sensam.errors import InputError, SettingsError

PAPER = {"rate": 1e-3, "epochs": 100, "batch": 2}


def settings(**parts: object) -> RunSettings:
    return validate(RunSettings, {"data": "here", "method": "scratch", **parts}, "settings")


def test_the_paper_wins_over_ours_and_the_user_over_the_paper() -> None:
    run = settings(train={"batch": 4}, stages={"inherit": {"rate": 0.5}})
    found = run.for_stage("inherit", PAPER)
    assert (found.rate, found.batch, found.epochs) == (0.5, 4, 100)
    assert found.weight_decay == TrainSettings().weight_decay
    assert run.for_stage("finetune", PAPER).rate == 1e-3


def test_a_setting_for_one_stage_wins_over_that_for_all() -> None:
    run = settings(train={"batch": 4, "rate": 0.1}, stages={"inherit": {"batch": 16}})
    assert run.for_stage("inherit", {}).batch == 16
    assert run.for_stage("finetune", {}).batch == 4


@pytest.mark.parametrize(
    ("train", "expected"), [({"steps": 7}, (None, 7)), ({"epochs": 3}, (3, None)), ({}, (100, None))]
)
def test_the_length_is_settled_once_by_whoever_comes_last(
    train: dict[str, int], expected: tuple[int | None, int | None]
) -> None:
    found = settings(train=train).for_stage("inherit", PAPER)
    assert (found.epochs, found.steps) == expected


def test_a_length_that_nobody_settled_is_ours() -> None:
    assert settings().for_stage("inherit", {}).epochs == EPOCHS


def test_epochs_and_steps_at_once_are_a_mistake() -> None:
    with pytest.raises(SettingsError, match="give one of them"):
        settings(train={"epochs": 1, "steps": 1})


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"train": {"rte": 1}}, "'rte'.*'rate'"),
        ({"stages": {"inherit": {"epoch": 1}}}, "'epoch'.*'epochs'"),
        ({"methd": "x"}, "'methd'.*'method'"),
        ({"machine": {"device": 2}}, "'device'.*'devices'"),
        ({"train": {"batch": 0}}, "train.batch"),
        ({"train": {"betas": [2, 3]}}, r"train\.betas\.0.*less than 1"),
        ({"seed": 99999999999999999999999}, "seed.*less than"),
        ({"machine": {"devices": -1}}, "devices.*give 1 or more"),
        ({"train": {"rate": 1e-9}}, "least_rate"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_the_right_name(parts: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        settings(**parts)
    assert "\n" not in str(caught.value)


def test_an_unknown_stage_is_told_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"'inhreit'.*'inherit'"):
        settings(stages={"inhreit": {"epochs": 1}}).resolved({"inherit": {}, "finetune": {}})


def test_assignments_reach_any_depth_and_read_values_as_yaml() -> None:
    values = {"data": "here", "method": "scratch", "train": {"batch": 2}}
    changed = override(values, ["train.rate=1e-3", "stages.inherit.epochs=5", "settings.loss=dice", "track=[]"])
    run = validate(RunSettings, changed, "settings")
    assert (run.train.rate, run.train.batch) == (1e-3, 2)
    assert run.stages["inherit"].epochs == 5
    assert run.settings == {"loss": "dice"}
    assert run.track == ()
    assert values == {"data": "here", "method": "scratch", "train": {"batch": 2}}


def test_full_precision_may_be_a_number_as_yaml_reads_it() -> None:
    values = override({"data": "here", "method": "scratch"}, ["machine.precision=32"])
    assert validate(RunSettings, values, "settings").machine.precision == "32"
    with pytest.raises(SettingsError, match="precision"):
        validate(RunSettings, override(values, ["machine.precision=16"]), "settings")


@pytest.mark.parametrize(
    "assignment", ["train.rate", "train..rate=1", "=1", "train.rate=[1", "data.name=1", "out=2024-13-45"]
)
def test_an_assignment_that_makes_no_sense_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        override({"data": "here"}, [assignment])


def test_a_resolved_run_reads_back_and_resolves_to_itself(tmp_path: Path) -> None:
    run = settings(train={"batch": 4}, stages={"inherit": {"steps": 9}}).resolved({"inherit": PAPER, "finetune": {}})
    write_settings(run, tmp_path / "run.yaml")
    again = validate(RunSettings, read_settings(tmp_path / "run.yaml"), "run.yaml")
    assert again.resolved({"inherit": PAPER, "finetune": {}}) == run
    assert again.deciding() == run.deciding()
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["stages"]["inherit"]["rate"] == 1e-3


def test_the_place_and_the_kind_of_machine_do_not_decide_what_is_learnt() -> None:
    ours = settings(out="a", train={"workers": 0}).resolved({"inherit": {}})
    theirs = settings(out="b", machine={"accelerator": "cpu"}, train={"workers": 4}).resolved({"inherit": {}})
    assert ours.deciding() == theirs.deciding()
    for other in ({"seed": 1}, {"machine": {"devices": 2}}, {"train": {"batch": 3}}, {"settings": {"loss": "dice"}}):
        assert ours.deciding() != settings(**other).resolved({"inherit": {}}).deciding()


def test_a_file_that_is_no_settings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("- one\n- two\n")
    with pytest.raises(InputError, match="must be a mapping"):
        read_settings(tmp_path / "run.yaml")


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: here\ntrain:\n  rate: 1\n batch: 2\n")
    with pytest.raises(InputError, match=r"run\.yaml cannot be read as YAML \(line 4: ") as caught:
        read_settings(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)
    (tmp_path / "run.yaml").write_text("data: here\nout: 2024-13-45\n")
    with pytest.raises(InputError, match=r"cannot be read as YAML \(month must be"):
        read_settings(tmp_path / "run.yaml")
