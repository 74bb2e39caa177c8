"""Rows reach TensorBoard and MLflow; a resumed run continues the same record."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from sensam.errors import MissingExtraError, SettingsError
from sensam.train.trackers import EVENTS, start_trackers

ROW = {"stage": 1, "name": "finetune", "epoch": 0, "step": 3, "loss": 0.5, "val_miou": float("nan")}


def test_tensorboard_shows_losses_by_stage_at_the_step_of_the_run(tmp_path: Path) -> None:
    (tracker,) = start_trackers(["tensorboard"], tmp_path, start=0, settings={})
    tracker.add(ROW, at=13)
    tracker.close()
    found = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("finetune/loss")] == [(13, 0.5)]
    assert "finetune/val_miou" not in found.Tags()["scalars"]


def test_steps_that_a_resumed_run_takes_again_are_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files of one second are read in the order of this number, as text: 10 before 9. Real runs are further apart.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        (tracker,) = start_trackers(["tensorboard"], tmp_path, start=start, settings={})
        for step in steps:
            tracker.add(ROW, at=step)
        tracker.close()
    found = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [event.step for event in found.Scalars("finetune/loss")] == [1, 2, 3, 4]


@pytest.mark.slow  # importing mlflow takes seconds
def test_mlflow_keeps_one_run_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "record").as_uri())
    for at in (1, 2):
        (tracker,) = start_trackers(["mlflow"], tmp_path, start=at - 1, settings={"train.batch": 4})
        tracker.add(ROW, at=at)
        tracker.close()
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("sensam").experiment_id])
    assert run.data.params == {"train.batch": "4"}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "finetune/loss")] == [1, 2]


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"sensam\[track\]"):
        start_trackers(["mlflow"], tmp_path, start=0, settings={})


def test_a_record_that_cannot_be_kept_is_told_with_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = type("MlflowException", (Exception,), {"__module__": "mlflow.exceptions"})

    def refuse() -> None:
        raise fault(" got unsupported URI 'sqlite:///mlflow.db'\nmore")

    entities = SimpleNamespace(Param=None, Metric=None)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=refuse, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    with pytest.raises(SettingsError, match=r"unsupported URI.*Set MLFLOW_TRACKING_URI") as caught:
        start_trackers(["mlflow"], tmp_path, start=0, settings={})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("finished", "word"), [(True, "FINISHED"), (False, "FAILED")])
def test_mlflow_hears_how_a_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, *, finished: bool
) -> None:
    client = Requests()
    entities = SimpleNamespace(Param=lambda *fields: fields, Metric=lambda *fields: fields)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: client, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    (tracker,) = start_trackers(["mlflow"], tmp_path, start=0, settings={})
    tracker.close(finished=finished)
    assert client.ends == [("r", word)]
    start_trackers(["mlflow"], tmp_path, start=0, settings={})  # a resumed run goes on under the same name
    assert client.ends[1:] == [("r", "RUNNING")]


class Requests:
    """Stands in for MLflow's client: notes what it is asked."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.ends: list[tuple[str, str]] = []

    def get_experiment_by_name(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1")

    def create_run(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def log_batch(self, _: str, **given: Any) -> None:
        self.batches.append(given)

    def update_run(self, run: str, status: str) -> None:
        self.ends.append((run, status))

    def set_terminated(self, run: str, status: str) -> None:
        self.ends.append((run, status))


def test_mlflow_hears_of_every_setting_and_takes_a_row_in_one_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Requests()
    entities = SimpleNamespace(Param=lambda *fields: fields, Metric=lambda *fields: fields)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: client, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    settings = {f"name {number}": number for number in range(230)}
    (tracker,) = start_trackers(["mlflow"], tmp_path, start=0, settings=settings)
    assert [len(batch["params"]) for batch in client.batches] == [100, 100, 30]
    assert {name for batch in client.batches for name, _ in batch["params"]} == set(settings)
    client.batches.clear()
    tracker.add({**ROW, "rate": 0.1}, at=13)
    (batch,) = client.batches
    assert {(name, value, at) for name, value, _, at in batch["metrics"]} == {
        ("finetune/epoch", 0.0, 13),
        ("finetune/loss", 0.5, 13),
        ("finetune/rate", 0.1, 13),
    }
