"""Train a method on a data set, stage by stage, into a run folder that can be stopped and resumed at any time."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from rich.console import Console

from sensam.config import RunSettings, TrainSettings, validate
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.loader import Loader
from sensam.errors import SettingsError, unknown
from sensam.files import write_text
from sensam.methods.base import Method, Stage, Task
from sensam.methods.folder import ModelFolder, read_model
from sensam.methods.rebuilding import build_method, check_base, discard, learned_by, load_start, put, restore, spent
from sensam.run.assembly import (
    check_classes,
    fit_dataset,
    resolution_seen,
    training_loader,
    validation_loader,
    with_statistics,
)
from sensam.run.folder import flat, is_finished, prepare
from sensam.run.model import Model, as_model, describe_model, gives_answers, load, save_model
from sensam.sensors import Sensor
from sensam.train.checkpoint import Checkpoints, Progress
from sensam.train.clicking import ClickJudge
from sensam.train.display import Display
from sensam.train.journal import Journal
from sensam.train.judges import ClassJudge, Judge, LossJudge
from sensam.train.loop import Desk, Lesson, StageRun
from sensam.train.machine import start_machine
from sensam.train.trackers import Tracker, check_trackers, start_trackers

Loaders = tuple[Loader, Loader | None]  # of training and of validation
STAYS = "the run in {folder} is finished: {model} stays as it is"


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
    # Before anything is written, or a typo would leave a run behind.
    loaders = tuple(_loaders(dataset, stage, settings, fabric) for stage in stages)
    if fabric.is_global_zero:
        check_trackers(settings.track)
    folder = Path(settings.out)
    is_going_on = prepare(folder, settings, dataset, resume=resume, fabric=fabric)
    if not is_going_on and is_finished(folder):  # and its checkpoints were removed
        display.say(STAYS.format(folder=folder, model=folder / "model"))
        return load(folder)
    if method.adapts_sam and method.task.sam.loaded:
        display.say(f"given: {method.task.sam.loaded.headline}")
    return _Course(fabric, settings, dataset, method, stages, loaders, earlier, folder, display).teach(is_going_on)


class _Course:
    """The stages of a run, one after the other."""

    def __init__(
        self,
        fabric: Fabric,
        settings: RunSettings,
        dataset: Dataset,
        method: Method,
        stages: tuple[Stage, ...],
        loaders: tuple[Loaders, ...],
        earlier: ModelFolder | None,
        folder: Path,
        display: Display,
    ) -> None:
        self.fabric, self.settings, self.dataset, self.method = fabric, settings, dataset, method
        self.folder, self.display = folder, display
        self.stages, self.loaders = stages, loaders
        self.checkpoints = Checkpoints(folder / "checkpoints")
        self.before = tuple(earlier.config["stages"]) if earlier else ()
        self.learned = learned_by(method, method.stages)
        if earlier:
            restore(method, earlier.weights, self.before, earlier.source)
        method.to(fabric.device)

    def teach(self, is_going_on: bool) -> Model:
        """All stages that are left, and the model at the end."""
        progress, optimisers = self._taken_up() if is_going_on else (Progress(), None)
        stays = progress.is_done and progress.stage == len(self.stages) - 1 and is_finished(self.folder)
        self.fabric.barrier()  # or a slow process would find finished what the first has just written
        if stays:
            return self._look_again()
        keep = (progress.stage, progress.step) if is_going_on else None
        is_first = self.fabric.is_global_zero
        journal = Journal(self.folder / "log.csv", keep=keep) if is_first else None
        trackers = self._trackers(progress) if is_first else ()
        with ExitStack() as closing:
            for tracker in trackers:
                closing.push(partial(self._end_record, tracker))
            for number in range(progress.stage, len(self.stages)):
                if number > progress.stage:
                    progress = Progress(stage=number, results=progress.results, seconds=progress.seconds)
                    optimisers = None
                discard(self.method, self._names(number))
                if not progress.is_done:
                    self._teach_stage(number, progress, optimisers, (journal, trackers))
        discard(self.method, spent(self.method, self._names(len(self.stages))))
        return self._close(progress)

    def _taken_up(self) -> tuple[Progress, Sequence[Mapping[str, Any]]]:
        """The method as the last checkpoint has it."""
        progress, weights, optimisers = self.checkpoints.load(self.fabric.device)
        discard(self.method, self._names(progress.stage))
        put(self.method, weights, self._trained(progress.stage), str(self.checkpoints.folder))
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
        loader, validation = self.loaders[number]
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
        values = flat(self.settings.to_dict())
        return start_trackers(self.settings.track, self.folder, start=_steps(progress) + progress.step, settings=values)

    def _end_record(self, tracker: Tracker, failure: type[BaseException] | None, *_: object) -> None:
        """A server that is gone at the end must cost neither the model nor the reason why training stopped."""
        try:
            tracker.close(finished=failure is None)
        except Exception as error:
            self.display.say(f"the record could not be ended: {error}")

    def _judge(self, stage: Stage) -> Judge:
        task = self.method.task
        judges: dict[str, Judge] = {
            "classes": ClassJudge(task.classes, task.ignore),
            "clicks": ClickJudge(task.ignore),
            "loss": LossJudge(stage.loss, mass=stage.mass),
        }
        return judges[stage.judged_by]

    def _look_again(self) -> Model:
        """The model of a run that is finished, of which nothing is written again."""
        names = self._names(len(self.stages))
        discard(self.method, spent(self.method, names))
        self.display.say(STAYS.format(folder=self.folder, model=self.folder / "model"))
        return self._at_rest(self._config(names))

    def _at_rest(self, config: Mapping[str, Any]) -> Model:
        self.method.requires_grad_(False).eval()
        return as_model(self.method, config)

    def _config(self, names: tuple[str, ...]) -> dict[str, Any]:
        """What the model's config.json says of it after these stages."""
        config = describe_model(self.method, self.settings.method, colours=self.dataset.colours, stages=names)
        if self.stages:  # what predictions come from was trained last
            last = self.settings.stages[self.stages[-1].name]
            config |= {"size": last.size, "fit": last.fit, "resolution": resolution_seen(self.dataset, last)}
        return config

    def _close(self, progress: Progress) -> Model:
        """Write the model folder and metrics.json."""
        names = self._names(len(self.stages))
        config = self._config(names)
        if self.fabric.is_global_zero:
            trained = frozenset().union(*(self.learned[name] for name in names))
            save_model(self.folder / "model", self.method, trained, config, progress.results)
            metrics = {
                "stages": progress.results,
                "seconds": progress.seconds,
                "trained_parameters": _count(self.method, trained),
            }
            write_text(self.folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        self.fabric.barrier()
        self.display.say(f"the model is in {self.folder / 'model'}{self._hint(config['stages'])}")
        return self._at_rest(config)

    def _hint(self, done: Sequence[str]) -> str:
        """How to score what was taught."""
        if not gives_answers(self.method, done):
            return ""
        clicks = " --clicks" if type(self.method).forward is Method.forward else ""
        return f": sensam evaluate {self.folder} {self.settings.data}{clicks}"


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


def _loaders(dataset: Dataset, stage: Stage, settings: RunSettings, fabric: Fabric) -> Loaders:
    """What a stage learns from, and what it is validated on if there is such a split."""
    own = settings.stages[stage.name]
    # The usual name may be missing; one that somebody gave may not. run.yaml gives the usual one to every stage.
    is_given = "val_split" in settings.train.model_fields_set or own.val_split != TrainSettings().val_split
    if is_given and own.validations and own.val_split not in dataset.splits:
        raise unknown("split", own.val_split, dataset.splits)
    place = {"rank": fabric.global_rank, "world": fabric.world_size}
    return (
        training_loader(dataset, stage, own, seed=settings.seed, device=fabric.device, **place),
        validation_loader(dataset, stage, own, device=fabric.device, **place),
    )


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
