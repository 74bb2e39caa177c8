"""Where the rows of log.csv go as well: TensorBoard, and MLflow where its extra is installed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sensam.errors import MissingExtraError, SettingsError
from sensam.files import write_text

Row = Mapping[str, str | int | float]
EVENTS = "events"  # folder of TensorBoard's files within a run
PARAMETERS = 100  # that one request to MLflow takes


class Tracker(Protocol):
    """Takes every row of the log; `at` counts the steps of all stages."""

    def add(self, row: Row, at: int) -> None: ...

    def close(self, *, finished: bool = True) -> None: ...


class TensorBoardTracker:
    """Event files for `tensorboard --logdir`. A resumed run hides what its checkpoint has not seen."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / EVENTS), purge_step=start + 1)

    def add(self, row: Row, at: int) -> None:
        for name, value in _numbers(row).items():
            self._writer.add_scalar(f"{row['name']}/{name}", value, at)

    def close(self, *, finished: bool = True) -> None:  # noqa: ARG002 - event files do not say how a run ended
        self._writer.close()


class MlflowTracker:
    """A run of MLflow, where MLFLOW_TRACKING_URI says; resuming goes on with the same run."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._client, experiment = _reach_mlflow()
        from mlflow.entities import Metric, Param

        self._metric = Metric
        note = folder / "mlflow.txt"
        if note.is_file():
            self._run = note.read_text(encoding="utf-8").strip()
            self._client.update_run(self._run, "RUNNING")
            return
        number = experiment.experiment_id if experiment else self._client.create_experiment("sensam")
        self._run = self._client.create_run(number, run_name=folder.name).info.run_id
        write_text(note, f"{self._run}\n")
        parameters = [Param(name, str(value)) for name, value in settings.items()]
        for start in range(0, len(parameters), PARAMETERS):
            self._client.log_batch(self._run, params=parameters[start : start + PARAMETERS])

    def add(self, row: Row, at: int) -> None:
        now = int(1000 * time.time())
        metrics = [
            self._metric(f"{row['name']}/{name}".replace(" ", "_"), value, now, at)
            for name, value in _numbers(row).items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self, *, finished: bool = True) -> None:
        self._client.set_terminated(self._run, "FINISHED" if finished else "FAILED")


def check_trackers(names: Sequence[str]) -> None:
    """Fail before anything is written where a record cannot be kept."""
    if "mlflow" in names:
        _reach_mlflow()


def start_trackers(
    names: Sequence[str], folder: Path, *, start: int, settings: Mapping[str, Any]
) -> tuple[Tracker, ...]:
    """The trackers of a run, from the step on at which it goes on."""
    return tuple(
        TensorBoardTracker(folder, start) if name == "tensorboard" else MlflowTracker(folder, settings)
        for name in names
    )


def _reach_mlflow() -> tuple[Any, Any]:
    """MLflow's client, and sensam's experiment where there is one."""
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtraError("Tracking with MLflow", "track") from error
    try:
        client = MlflowClient()
        return client, client.get_experiment_by_name("sensam")
    except Exception as error:
        if not type(error).__module__.startswith("mlflow"):
            raise
        raise SettingsError(
            f"MLflow cannot record ({str(error).strip().partition(chr(10))[0]}). Set MLFLOW_TRACKING_URI to a "
            "server, such as http://localhost:5000, or leave mlflow out of --set track=[...]."
        ) from error


def _numbers(row: Row) -> dict[str, float]:
    """What can be drawn: not where a row stands, and nothing that is no number."""
    return {
        name: float(value)
        for name, value in row.items()
        if name not in ("stage", "name", "step") and not isinstance(value, str) and value == value
    }
