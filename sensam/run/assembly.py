"""The parts of a run from their names: data with statistics, the SAM to start from, the method and its stages."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Any

import torch
from pydantic import ValidationError

from sensam.complaints import explain
from sensam.config import TrainSettings
from sensam.data.augment import Augment
from sensam.data.dataset import Dataset
from sensam.data.loader import Loader
from sensam.data.measure import measure
from sensam.data.pairing import Item
from sensam.data.stream import Edges, EvaluationStream, TrainingStream
from sensam.errors import SettingsError
from sensam.infer.ground import metres_of_pixel
from sensam.methods import find_method
from sensam.methods.base import Method, MethodConfig, Stage, Task
from sensam.nn.surgery import choose, has_part, remove
from sensam.radiometry import RadiometryContract, check
from sensam.sensors import Sensor


def with_statistics(dataset: Dataset, split: str) -> Dataset:
    """The data set with a mean and deviation for every band, measured on the split where it has none."""
    if all(band.mean is not None for band in dataset.sensor.bands):
        return dataset
    found = measure(dataset, split)
    pairs = [found[band.name] for band in dataset.sensor.bands]
    sensor = dataset.sensor.with_statistics([each.mean for each in pairs], [each.std or 1.0 for each in pairs])
    return dataset.with_sensor(sensor)


def fit_dataset(dataset: Dataset, sensor: Sensor) -> Dataset:
    """The data set as a model of this sensor must see it: its bands in its order, its statistics, nothing else new."""
    means = {band.name: (band.mean, band.std) for band in sensor.bands}
    # What is computed from the files has the bands that it is computed to be, not those of the files.
    whole = dataset if dataset.encodes else Dataset(dataset.spec.model_copy(update={"bands": None}))
    theirs = [
        band.model_copy(update=dict(zip(("mean", "std"), means.get(band.name, (band.mean, band.std)), strict=True)))
        for band in whole.sensor.bands
    ]
    other = whole.sensor.model_copy(update={"bands": tuple(theirs)})
    bands = check(RadiometryContract(sensor), other).bands
    if dataset.encodes:
        return dataset.with_sensor(other.select(bands))
    chosen = Dataset(dataset.spec.model_copy(update={"bands": bands}))
    chosen.pairing = dataset.pairing
    return chosen.with_sensor(other.select(bands))


def resolution_seen(dataset: Dataset, settings: TrainSettings) -> float | None:
    """Metres of ground in a pixel as the network saw it, the median over the images; None where none has a place."""
    seen = []
    for item in dataset.items(settings.split):
        info = dataset.info(item)
        metres = metres_of_pixel(info.crs, info.transform, info.height, info.width)
        if metres is not None:
            rows, columns = dataset.size(item)
            shrunk = sqrt(rows * columns) / settings.size if settings.fit == "stretch" else 1.0
            seen.append(metres * shrunk)
    return float(f"{median(seen):.3g}") if seen else None


def build_method(name: str, task: Task, settings: Mapping[str, Any] | MethodConfig | None = None) -> Method:
    """A method for a task. The same seed draws the same weights, and no other random numbers are disturbed."""
    kind = find_method(name)
    if isinstance(settings, MethodConfig):
        config = settings
    else:
        try:
            config = kind.Config.model_validate(dict(settings or {}))
        except ValidationError as error:
            raise explain(error, kind.Config, f"settings of {name}") from error
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # A head for no classes has nothing to draw: fine for stages without labels, and refused for others later.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        torch.manual_seed(task.seed)
        return kind(task, config)


def learned_by(method: Method, stages: Sequence[Stage]) -> dict[str, frozenset[str]]:
    """Names of the parameters that each stage trains; found before any stage discards a part."""
    names = [name for name, _ in method.named_parameters()]
    return {
        stage.name: frozenset(name for name, factor in choose(names, stage.learns).items() if factor > 0)
        for stage in stages
    }


def discard(method: Method, stages: Sequence[str]) -> None:
    """Take out what these stages leave behind that has done its work."""
    for stage in method.stages:
        if stage.name in stages:
            for child in stage.discards:
                if has_part(method, child):
                    remove(method, child)


def spent(method: Method, done: Sequence[str]) -> tuple[str, ...]:
    """The stages whose discards a model at rest does without.

    One that stops before the method's last stage keeps what its own last stage had: an inherited student answers
    clicks by parts that fine-tuning no longer needs.
    """
    is_complete = bool(done) and done[-1] == method.stages[-1].name
    return tuple(done) if is_complete else tuple(done[:-1])


def share_labels(dataset: Dataset, split: str, share: float, seed: int) -> Dataset:
    """The data set with a part of a split, dealt by a hash of the keys: smaller parts lie within larger ones."""
    if share == 1:
        return dataset
    items = dataset.labelled(split)
    kept = set(sorted(items, key=lambda item: _lot(item, seed))[: max(1, round(share * len(items)))])
    return dataset.with_items(split, [item for item in items if item in kept])


def _lot(item: Item, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {item.key}".encode()).digest()


def training_loader(
    dataset: Dataset,
    stage: Stage,
    settings: TrainSettings,
    *,
    seed: int,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
) -> Loader:
    """Random windows of the training split, dealt to the processes."""
    if stage.needs_labels:
        dataset = share_labels(dataset, settings.split, settings.label_share, seed)
    stream = TrainingStream(
        dataset,
        settings.split,
        size=settings.size,
        seed=seed,
        augment=_augment(settings.augment),
        labels=stage.needs_labels,
        length=settings.length,
        fit=settings.fit,
        views=settings.views,
    )
    return Loader(stream, batch_size=settings.batch, workers=settings.workers, rank=rank, world=world, device=device)


def validation_loader(
    dataset: Dataset,
    stage: Stage,
    settings: TrainSettings,
    *,
    rank: int = 0,
    world: int = 1,
    device: torch.device | str = "cpu",
) -> Loader | None:
    """Every pixel of the validation split once; None where the data set has no such split."""
    if settings.val_split not in dataset.splits or not settings.validations:
        return None
    labels = stage.needs_labels or stage.judged_by != "loss"
    # A click asks about a region, which must not be cut by what is ignored.
    edges: Edges = "cut" if stage.judged_by == "clicks" else "inside"
    stream = EvaluationStream(
        dataset, settings.val_split, size=settings.size, labels=labels, fit=settings.fit, edges=edges
    )
    world = min(world, len(stream))
    rank = rank if rank < world else 0
    return Loader(stream, batch_size=settings.batch, workers=settings.workers, rank=rank, world=world, device=device)


def _augment(values: Mapping[str, Any] | None) -> Augment | None:
    if values is None:
        return None
    try:
        return Augment.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, Augment, "augment") from error


def check_classes(dataset: Dataset, stages: Sequence[Stage]) -> None:
    """A stage that learns from labels needs classes."""
    needing = [stage.name for stage in stages if stage.needs_labels]
    if needing and not dataset.classes:
        raise SettingsError(
            f"Stage {needing[0]} learns from labels, and {dataset.name} has no classes. Name masks and classes in its "
            "dataset.yaml, or stop before that stage with --set stop_after=..."
        )
