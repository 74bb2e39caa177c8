"""A tiny SAM, a tiny data set with domains, and a plan that takes seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sensam.config import MachineSettings
from sensam.data.synthetic import family, write
from sensam.evaluate.compare import cell
from sensam.evaluate.compare.cell import Bench
from sensam.evaluate.compare.plan import Plan, parse_plan
from sensam.evaluate.compare.runner import open_bench, prepare
from sensam.train.display import Display


@pytest.fixture(scope="session")
def drive_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "drive"
    write(family("drive"), folder, seed=0, counts={"train": 8, "val": 2, "test": 3}, size=(32, 32))
    return folder


@pytest.fixture
def make_plan(tiny_sam: Path, drive_data: Path) -> Callable[..., Plan]:
    def make(**values: Any) -> Plan:
        train = {"size": 32, "batch": 2, "workers": 0, "validations": 1, **values.pop("train", {})}
        usual = {"data": str(drive_data), "seeds": 1, "teacher": str(tiny_sam), "train": train}
        if "minutes" not in values:
            usual["steps"] = 2
        return parse_plan({**usual, **values}, "plan")

    return make


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[[Plan], Bench]:
    def make(plan: Plan) -> Bench:
        folder = tmp_path / "out"
        machine = MachineSettings(accelerator="cpu")
        return open_bench(prepare(plan, folder), folder, machine, Display(None))

    return make


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders of all runs, as they are begun."""
    names: list[str] = []
    original = cell.run
    monkeypatch.setattr(
        cell, "run", lambda settings, **rest: names.append(Path(settings.out).name) or original(settings, **rest)
    )
    return names
