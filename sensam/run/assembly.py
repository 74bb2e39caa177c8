"""The parts of a run from their names: data with statistics, the SAM to start from, the method and its stages."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from sensam.data.stream import Edges, EvaluationStream, Stream, TrainingStream
from sensam.errors import InputError, SettingsError
from sensam.infer.ground import metres_of_pixel
from sensam.methods.base import Stage, refuse_new_views
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
    whole = dataset if dataset.encodes else _with_bands(dataset, None)
    theirs = [
        band.model_copy(update=dict(zip(("mean", "std"), means.get(band.name, (band.mean, band.std)), strict=True)))
        for band in whole.sensor.bands
    ]
    other = whole.sensor.model_copy(update={"bands": tuple(theirs)})
    bands = check(RadiometryContract(sensor), other).bands
    if dataset.encodes:
        return dataset.with_sensor(other.select(bands))
    return _with_bands(dataset, bands).with_sensor(other.select(bands))


def _with_bands(dataset: Dataset, bands: Sequence[str] | None) -> Dataset:
    """The same samples with other bands of their files, which need not be listed again."""
    return Dataset(dataset.spec.model_copy(update={"bands": bands}), dataset.pairing)


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
    if stage.keeps_views and not stream.comes_again:
        raise refuse_new_views(stage.name)
    return _loader(stream, stage, settings, rank, world, device)


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
    least = stage.least_batch if stage.judged_by == "loss" else 1  # nothing else computes the loss
    if len(stream) < least:
        raise InputError(
            f"split {settings.val_split} of {dataset.name} has {len(stream)} sample, and the loss of stage "
            f"{stage.name} needs at least {least} at once. Add images, or use --set train.validations=0."
        )
    world = min(world, len(stream) // least)
    rank = rank if rank < world else 0
    return _loader(stream, replace(stage, least_batch=least), settings, rank, world, device)


def _loader(
    stream: Stream, stage: Stage, settings: TrainSettings, rank: int, world: int, device: torch.device | str
) -> Loader:
    if settings.batch < stage.least_batch:
        raise SettingsError(
            f"The loss of stage {stage.name} needs batches of at least {stage.least_batch}, found {settings.batch}. "
            f"Use --set train.batch={stage.least_batch}."
        )
    return Loader(
        stream,
        batch_size=settings.batch,
        workers=settings.workers,
        rank=rank,
        world=world,
        least=stage.least_batch,
        device=device,
    )


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
