"""Train a method on a data set, stage by stage, into a run folder that can be stopped and resumed at any time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from sensam.config import RunSettings, read_settings, validate, write_settings
from sensam.data.dataset import Dataset, open_dataset
from sensam.errors import InputError, SettingsError, unknown
from sensam.methods.base import Method, Stage, Task
from sensam.run.assembly import (
    build_method,
    check_classes,
    discard,
    fit_dataset,
    learned_by,
    resolution_seen,
    spent,
    training_loader,
    validation_loader,
    with_statistics,
)
from sensam.run.model import Model, as_model, check_base, describe_model, load_start, restore, save_model
from sensam.sensors import Sensor
from sensam.train.checkpoint import Checkpoints, Progress
from sensam.train.clicking import ClickJudge
from sensam.train.display import Display
from sensam.train.folder import ModelFolder, read_model
from sensam.train.journal import Journal
from sensam.train.judges import ClassJudge, Judge, LossJudge
from sensam.train.loop import Desk, Lesson, StageRun, put
from sensam.train.machine import start_machine
from sensam.train.trackers import Tracker, start_trackers


def train(
    data: str | Path,
    *,
    method: str,
    out: str | Path = "runs/last",
    teacher: str = "nano",
    seed: int = 0,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    stages: Mapping[str, Mapping[str, Any]] | None = None,
    begin_from: str | Path | None = None,
    stop_after: str | None = None,
    machine: Mapping[str, Any] | None = None,
    track: Sequence[str] = ("tensorboard",),
    quiet: bool = False,
    **training: Any,
) -> Model:
    """Train a method on a data set; the trained model.

    `settings` are the method's own, `stages` overrides for single stages, `machine` says on what to compute, and all
    other keywords are settings of training for every stage: `train(data, method="scratch", epochs=20, rate=1e-3)`.
    """
    values = {
        "data": str(data),
        "method": method,
        "out": str(out),
        "teacher": str(teacher),
        "seed": seed,
        "settings": dict(settings or {}),
        "stages": {name: dict(each) for name, each in (stages or {}).items()},
        "train": training,
        "machine": dict(machine or {}),
        "track": tuple(track),
        "begin_from": None if begin_from is None else str(begin_from),
        "stop_after": stop_after,
    }
    display = Display(None if quiet else Console(highlight=False))
    return run(validate(RunSettings, values, "settings"), resume=resume, display=display)


def run(settings: RunSettings, *, resume: bool = False, display: Display | None = None) -> Model:
    """Train as the settings say. With `resume` a stopped run of the same settings goes on where it was."""
    fabric = start_machine(settings.machine)
    if display is None or not fabric.is_global_zero:
        display = Display(None)
    earlier = read_model(settings.begin_from) if settings.begin_from else None
    dataset = _dataset(settings, earlier)
    method = _method(settings, dataset)
    if earlier:
        base = earlier.config["base"]
        check_base(base, method.task.sam, earlier.source, settings.teacher, f"Train with --teacher {base['source']}.")
    stages = _chosen(method, settings, earlier)
    check_classes(dataset, stages)
    settings = settings.resolved({stage.name: stage.settings for stage in method.stages})
    folder = Path(settings.out)
    checkpoints = Checkpoints(folder / "checkpoints")
    is_going_on = _prepare(folder, settings, checkpoints, resume=resume, fabric=fabric)
    if method.task.sam.loaded:
        display.say(f"given: {method.task.sam.loaded.headline}")
    return _Course(fabric, settings, dataset, method, stages, earlier, folder, display).teach(is_going_on)


class _Course:
    """The stages of a run, one after the other."""

    def __init__(
        self,
        fabric: Fabric,
        settings: RunSettings,
        dataset: Dataset,
        method: Method,
        stages: tuple[Stage, ...],
        earlier: ModelFolder | None,
        folder: Path,
        display: Display,
    ) -> None:
        self.fabric, self.settings, self.dataset, self.method = fabric, settings, dataset, method
        self.folder, self.display = folder, display
        self.stages = stages
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.before = tuple(earlier.config["stages"]) if earlier else ()
        self.learned = learned_by(method, method.stages)
        if earlier:
            restore(method, earlier.weights, self.before, earlier.source)
        method.to(fabric.device)

    def teach(self, is_going_on: bool) -> Model:
        """All stages that are left, and the model at the end."""
        progress, optimisers = self._taken_up() if is_going_on else (Progress(), None)
        keep = (progress.stage, progress.step) if is_going_on else None
        is_first = self.fabric.is_global_zero
        journal = Journal(self.folder / "log.csv", keep=keep) if is_first else None
        trackers = self._trackers(progress) if is_first else ()
        for number in range(progress.stage, len(self.stages)):
            if number > progress.stage:
                progress = Progress(stage=number, results=progress.results, seconds=progress.seconds)
                optimisers = None
            discard(self.method, self._names(number))
            if not progress.is_done:
                self._teach_stage(number, progress, optimisers, (journal, trackers))
        for tracker in trackers:
            tracker.close()
        discard(self.method, spent(self.method, self._names(len(self.stages))))
        return self._close(progress)

    def _taken_up(self) -> tuple[Progress, Sequence[Mapping[str, Any]]]:
        """The method as the last checkpoint has it."""
        progress, weights, optimisers = self.checkpoints.load(self.fabric.device)
        discard(self.method, self._names(progress.stage))
        put(self.method, weights, self._trained(progress.stage))
        self.display.say(f"going on at step {progress.step} of stage {self.stages[progress.stage].name}")
        return progress, optimisers

    def _trained(self, number: int) -> frozenset[str]:
        """Names of what the stages up to this one train."""
        return frozenset().union(*(self.learned[name] for name in self._names(number + 1)))

    def _names(self, count: int) -> tuple[str, ...]:
        """The stages behind the method once so many of this run are: those of the model it began from come first."""
        return (*self.before, *(stage.name for stage in self.stages[:count]))

    def _teach_stage(
        self,
        number: int,
        progress: Progress,
        optimisers: Sequence[Mapping[str, Any]] | None,
        books: tuple[Journal | None, tuple[Tracker, ...]],
    ) -> None:
        stage = self.stages[number]
        settings = self.settings.stages[stage.name]
        if progress.step == 0 and stage.begin:
            stage.begin()
        place = {"rank": self.fabric.global_rank, "world": self.fabric.world_size}
        loader = training_loader(
            self.dataset, stage, settings, seed=self.settings.seed, device=self.fabric.device, **place
        )
        validation = validation_loader(self.dataset, stage, settings, device=self.fabric.device, **place)
        judge = self._judge(stage)
        if validation is None and settings.validations:
            self.display.say(
                f"no split {settings.val_split!r} in {self.dataset.name}: stage {stage.name} keeps its last weights"
            )
        lesson = Lesson(stage, number, settings, loader, validation, judge, self.dataset.ignore)
        desk = Desk(
            self.fabric,
            self.settings.seed,
            self._trained(number),
            self.checkpoints,
            books[0],
            self.display,
            books[1],
            _steps(progress),
        )
        stage_run = StageRun(desk, self.method, lesson, progress)
        if optimisers is not None and progress.step:
            stage_run.resume(optimisers)
        if not progress.step:
            self.display.say(_announcement(self.method, stage, self.learned[stage.name], stage_run.total))
        stage_run.fit()

    def _trackers(self, progress: Progress) -> tuple[Tracker, ...]:
        values = _flat(self.settings.to_dict())
        return start_trackers(self.settings.track, self.folder, start=_steps(progress) + progress.step, settings=values)

    def _judge(self, stage: Stage) -> Judge:
        task = self.method.task
        judges: dict[str, Judge] = {
            "classes": ClassJudge(task.classes, task.ignore),
            "clicks": ClickJudge(task.ignore),
            "loss": LossJudge(stage.loss, mass=stage.mass),
        }
        return judges[stage.judged_by]

    def _close(self, progress: Progress) -> Model:
        """Write the model folder and metrics.json."""
        names = self._names(len(self.stages))
        config = describe_model(self.method, self.settings.method, colours=self.dataset.colours, stages=names)
        if self.stages:  # what predictions come from was trained last
            last = self.settings.stages[self.stages[-1].name]
            config |= {"size": last.size, "fit": last.fit, "resolution": resolution_seen(self.dataset, last)}
        if self.fabric.is_global_zero:
            trained = frozenset().union(*(self.learned[name] for name in names))
            save_model(self.folder / "model", self.method, trained, config, progress.results)
            metrics = {
                "stages": progress.results,
                "seconds": progress.seconds,
                "trained_parameters": _count(self.method, trained),
            }
            _write_json(self.folder / "metrics.json", metrics)
        self.fabric.barrier()
        self.display.say(f"the model is in {self.folder / 'model'}: sensam evaluate {self.folder} {self.settings.data}")
        self.method.requires_grad_(False).eval()
        return as_model(self.method, config)


def _dataset(settings: RunSettings, earlier: ModelFolder | None) -> Dataset:
    dataset = open_dataset(settings.data)
    if earlier is None:
        return with_statistics(dataset, settings.train.split)
    return fit_dataset(dataset, Sensor.from_dict(earlier.config["sensor"], where=f"sensor of {earlier.source}"))


def _method(settings: RunSettings, dataset: Dataset) -> Method:
    task = Task(
        dataset.sensor,
        dataset.classes,
        load_start(settings.teacher),
        size=settings.train.size,
        ignore=dataset.ignore,
        seed=settings.seed,
    )
    return build_method(settings.method, task, settings.settings)


def _chosen(method: Method, settings: RunSettings, earlier: ModelFolder | None) -> tuple[Stage, ...]:
    """The stages to run: not those that the model to begin from has done, and none after the last one wanted."""
    stages = method.stages
    names = [stage.name for stage in stages]
    if settings.stop_after is not None:
        if settings.stop_after not in names:
            raise unknown(f"stage of {settings.method}", settings.stop_after, names)
        stages = stages[: names.index(settings.stop_after) + 1]
    if earlier is None:
        return stages
    if earlier.config["method"] != settings.method:
        raise SettingsError(
            f"{earlier.source} was trained by {earlier.config['method']}, this run is of {settings.method}. "
            "Begin from a model of the same method."
        )
    left = tuple(stage for stage in stages if stage.name not in earlier.config["stages"])
    if not left:
        raise SettingsError(f"{earlier.source} has been through {', '.join(names)} already: there is nothing to train.")
    return left


def _prepare(folder: Path, settings: RunSettings, checkpoints: Checkpoints, *, resume: bool, fabric: Fabric) -> bool:
    """The run folder with its run.yaml; whether there is a checkpoint to go on from."""
    path = folder / "run.yaml"
    if path.is_file():
        if not resume:
            raise InputError(f"{folder} holds a run already. Go on with it by --resume, or choose another --out.")
        _check_same(settings, path)
    is_going_on = resume and checkpoints.exists
    fabric.barrier()
    if fabric.is_global_zero:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error}. Choose another --out.") from error
        write_settings(settings, path)
    return is_going_on


def _check_same(settings: RunSettings, path: Path) -> None:
    earlier = validate(RunSettings, read_settings(path), str(path)).deciding()
    ours = settings.deciding()
    differing = [name for name in _flat(ours) | _flat(earlier) if _flat(ours).get(name) != _flat(earlier).get(name)]
    if differing:
        name = differing[0]
        raise SettingsError(
            f"{path} was run with {name} = {_flat(earlier).get(name)}, now it is {_flat(ours).get(name)}"
            f"{f' (and {len(differing) - 1} more differ)' if len(differing) > 1 else ''}. "
            "Resume with the same settings, or choose another --out."
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _steps(progress: Progress) -> int:
    """Steps of the stages before the one that is under way."""
    done = list(progress.results.values())
    return int(sum(result["steps"] for result in (done[:-1] if progress.is_done else done)))


def _announcement(method: Method, stage: Stage, learned: frozenset[str], steps: int) -> str:
    moving = _count(method, learned)
    whole = sum(parameter.numel() for parameter in method.parameters())
    signal = "labels" if stage.needs_labels else "no labels"
    return f"stage {stage.name}: {steps} steps from {signal}; trains {moving / 1e6:.2f} M of {whole / 1e6:.2f} M"


def _count(method: Method, names: frozenset[str]) -> int:
    return sum(parameter.numel() for name, parameter in method.named_parameters() if name in names)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
