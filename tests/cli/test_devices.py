"""Commands compute on a GPU where there is one, and a report where its model was trained."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sensam.errors import InputError, SettingsError
from sensam.infer.voting import find_device
from tests.cli.conftest import Run


class Asked:
    """Stands in for what would compute: notes what it is given, and stops the command."""

    def __init__(self) -> None:
        self.given: tuple[Any, ...] = ()

    def __call__(self, *given: Any, **named: Any) -> None:
        self.given = (*given, *named.values())
        raise InputError("far enough")


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("evaluate", "model", "data"), "sensam.evaluate.metrics.evaluate"),
        (("evaluate", "model", "data", "--clicks"), "sensam.evaluate.clicking.score_clicks"),
        (("segment", "model", "scene.tif", "-o", "o.gpkg"), "sensam.cli.segment._open"),
        (("report", "run"), "sensam.evaluate.report.single.write_run_report"),
    ],
)
def test_by_default_they_take_the_gpu(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], place: str, *, is_there: bool
) -> None:
    asked = Asked()
    module, _, name = place.rpartition(".")
    monkeypatch.setattr(import_module(module), name, asked)  # sensam.evaluate is a function's name as well
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    assert run(*words) == 2
    assert ("cuda" if is_there else "cpu") in asked.given
    assert run(*words, "--device", "cpu") == 2
    assert "cpu" in asked.given


@pytest.mark.parametrize("name", ["mps", "meta", "xla", "hpu", "cuda:7", "gpu"])
def test_a_device_that_is_not_here_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: name == "cuda:7")  # and no seventh GPU behind it
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is here")
    with pytest.raises(SettingsError, match=f"no device '{name}' here"):
        find_device(name)


def test_a_run_is_reported_where_it_was_trained(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = Asked()
    model = SimpleNamespace(device=torch.device("meta"))
    monkeypatch.setattr("sensam.run.training.run", lambda *_, **__: model)
    monkeypatch.setattr("sensam.evaluate.report.single.write_run_report", asked)
    assert run("train", "data", "--method", "scratch", "--out", tmp_path / "run") == 0
    assert asked.given == (tmp_path / "run", "meta")
