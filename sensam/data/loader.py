"""Streams to batches: dealt to processes without loss or repetition, stacked as integers, normalised on the device."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sensam.data.sample import Sample
from sensam.data.stream import Stream
from sensam.errors import InputError, SensamError, SettingsError
from sensam.types import Batch

Place = tuple[int, int]  # epoch and index


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Samples stacked as they are stored; `normalised` makes of them what a model takes."""

    stored_BCHW: Tensor  # whole numbers as they are stored, or fractions that are normalised already
    valid_BCHW: Tensor | None  # None where everything is valid
    label_BHW: Tensor | None
    line_2BC: Tensor | None  # gain and bias of whole numbers
    clip_2BC: Tensor | None  # lowest and highest normalised value
    keys: tuple[str, ...]
    views: tuple[str, ...] = ()

    def pin_memory(self) -> "StoredBatch":
        """The same in memory from which a GPU copies while it computes; called by the DataLoader."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        pinned: dict[str, Any] = {name: part.pin_memory() for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **pinned)

    def normalised(self, device: torch.device | str) -> Batch:
        """Float pixels with the sensor's statistics taken out, exactly 0 where not valid."""
        image_BCHW = self.stored_BCHW.to(device, non_blocking=True).float()
        if self.line_2BC is not None:
            gain, bias = self.line_2BC.to(device, non_blocking=True)[..., None, None]
            image_BCHW = image_BCHW.mul_(gain).add_(bias)
        if self.clip_2BC is not None:
            low, high = self.clip_2BC.to(device, non_blocking=True)[..., None, None]
            image_BCHW = image_BCHW.clamp_(low, high)
        if self.valid_BCHW is None:
            valid_BHW = torch.ones(image_BCHW[:, 0].shape, dtype=torch.bool, device=device)
        else:
            valid_BCHW = self.valid_BCHW.to(device, non_blocking=True)
            valid_BHW = valid_BCHW.all(dim=1)
            image_BCHW = image_BCHW.masked_fill_(~valid_BCHW, 0)
        label_BHW = None if self.label_BHW is None else self.label_BHW.to(device, non_blocking=True).long()
        return Batch(image_BCHW, valid_BHW, label_BHW, self.keys, self.views)


def collate(samples: Sequence[Sample], ignore: int) -> StoredBatch:
    """Samples as one block; smaller ones are filled up, below and to the right, with what is not valid."""
    height, width = (max(sides) for sides in zip(*(sample.size for sample in samples), strict=True))
    padded = any(sample.size != (height, width) for sample in samples)
    shape = (len(samples), len(samples[0].gain_C), height, width)
    stored_BCHW = np.empty(shape, np.result_type(*(sample.stored_CHW for sample in samples)))
    if padded:
        stored_BCHW[:] = 0
    valid_BCHW = None
    if padded or any(sample.valid_CHW is not None for sample in samples):
        valid_BCHW = np.zeros(shape, bool)
    label_BHW = None
    if samples[0].label_HW is not None:
        label_BHW = np.empty((len(samples), height, width), samples[0].label_HW.dtype)
        if padded or any(sample.label_HW is None for sample in samples):
            label_BHW[:] = ignore
    is_whole = stored_BCHW.dtype.kind in "iu"
    for row, sample in enumerate(samples):
        rows, columns = sample.size
        if is_whole:
            stored_BCHW[row, :, :rows, :columns] = sample.stored_CHW
        else:  # where every pixel is touched anyway, and in a worker; plane by plane, while it is in the cache
            lines = zip(sample.stored_CHW, sample.gain_C, sample.bias_C, strict=True)
            for place_HW, (stored_HW, gain, bias) in zip(stored_BCHW[row, :, :rows, :columns], lines, strict=True):
                np.multiply(stored_HW, gain, out=place_HW)
                place_HW += bias
        if valid_BCHW is not None:
            valid_BCHW[row, :, :rows, :columns] = True if sample.valid_CHW is None else sample.valid_CHW
        if label_BHW is not None and sample.label_HW is not None:
            label_BHW[row, :rows, :columns] = sample.label_HW
    line_2BC = np.array([[sample.gain_C for sample in samples], [sample.bias_C for sample in samples]])
    clip_2BC = np.array([[sample.low_C for sample in samples], [sample.high_C for sample in samples]])
    return StoredBatch(
        torch.from_numpy(stored_BCHW),
        None if valid_BCHW is None else torch.from_numpy(valid_BCHW),
        None if label_BHW is None else torch.from_numpy(label_BHW),
        torch.from_numpy(line_2BC) if is_whole else None,
        torch.from_numpy(clip_2BC) if np.isfinite(clip_2BC).any() else None,
        tuple(sample.key for sample in samples),
        tuple(sample.view for sample in samples),
    )


def deal(count: int, batch_size: int, world: int, least: int = 1) -> list[range]:
    """Indices of each step over all processes together: every index once, and work for every process in every step.

    What is left over becomes a smaller last step; fewer than `least` for each process join the step before.
    """
    step = batch_size * world
    starts = list(range(0, count, step))
    if len(starts) > 1 and count - starts[-1] < world * least:
        starts.pop()
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def share(indices: range, rank: int, world: int) -> range:
    """The consecutive part of a step that one process takes."""
    return range(
        indices.start + len(indices) * rank // world,
        indices.start + len(indices) * (rank + 1) // world,
    )


class Loader:
    """Batches of a stream. With several processes each takes its part of every step; workers change nothing but time.

    The order is settled here: do not let a launcher put a sampler of its own in its place.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        batch_size: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        least: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size < 1 or workers < 0 or not 0 <= rank < world:
            raise SettingsError(f"batch_size {batch_size}, workers {workers}, rank {rank} of {world} make no sense.")
        if len(stream) < world * least:
            raise InputError(
                f"{len(stream)} samples cannot feed {world} processes with at least {least} each. "
                "Add images, or use fewer processes."
            )
        self.stream, self.world, self.device = stream, world, torch.device(device)
        self._order = _Order(deal(len(stream), batch_size, world, least), rank, world)
        is_pinned = self.device.type == "cuda"
        self._batches: Iterable[StoredBatch | SensamError] = _Here(stream, self._order, is_pinned=is_pinned)
        if workers:
            self._batches = DataLoader(
                _Guarded(stream),
                batch_sampler=self._order,
                collate_fn=_Collate(stream.ignore),
                num_workers=workers,
                persistent_workers=True,
                pin_memory=is_pinned,
                generator=torch.Generator(),  # its own, so that loading takes nothing from the model's random numbers
            )

    def __len__(self) -> int:
        return len(self.places)

    @property
    def places(self) -> Sequence[range]:
        """Which samples of an epoch this process takes in each step."""
        return self._order.steps

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(self.stream.epoch)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the step `start` on: a run that was stopped goes on where it was."""
        self._order.epoch, self._order.start = number, start
        for loaded in self._batches:
            if isinstance(loaded, SensamError):
                try:
                    raise loaded
                finally:
                    del loaded  # or frame and mistake held each other, and workers so collected are waited for in vain
            yield loaded.normalised(self.device)


class _Order(Sampler[list[Place]]):
    """Which samples this process takes in each step of the current epoch."""

    def __init__(self, steps: Sequence[range], rank: int, world: int) -> None:
        self.steps = [share(step, rank, world) for step in steps]
        self.epoch = 0
        self.start = 0

    def __iter__(self) -> Iterator[list[Place]]:
        epoch = self.epoch
        return iter([(epoch, index) for index in step] for step in self.steps[self.start :])

    def __len__(self) -> int:
        return len(self.steps) - self.start


class _Here:
    """Batches made in this process: what a DataLoader without workers does, without its ado."""

    def __init__(self, stream: Stream, order: _Order, *, is_pinned: bool) -> None:
        self.stream, self.order, self.is_pinned = stream, order, is_pinned

    def __iter__(self) -> Iterator[StoredBatch]:
        for places in self.order:
            stored = collate([self.stream[place] for place in places], self.stream.ignore)
            yield stored.pin_memory() if self.is_pinned else stored


class _Guarded(Dataset[Sample | SensamError]):
    """Hands a user's mistake through a worker's queue as a value: raised there, it would come back as a traceback."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, place: Place) -> Sample | SensamError:
        try:
            return self.stream[place]
        except SensamError as mistake:
            return mistake


@dataclass(frozen=True, slots=True)
class _Collate:
    ignore: int

    def __call__(self, samples: Sequence[Sample | SensamError]) -> StoredBatch | SensamError:
        mistake = next((sample for sample in samples if isinstance(sample, SensamError)), None)
        return mistake or collate([sample for sample in samples if isinstance(sample, Sample)], self.ignore)
