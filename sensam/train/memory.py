"""Out of memory, said in one line: which settings would fit, by trying smaller ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from traceback import clear_frames
from typing import TYPE_CHECKING

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Method, Moment
from sensam.sam.encoder import ImageEncoder
from sensam.types import Batch

if TYPE_CHECKING:
    from sensam.train.loop import Lesson


def save_memory(method: nn.Module, wanted: bool) -> None:
    """Let SAM's encoders compute the activations of their blocks again in the backward pass, or keep them."""
    for part in method.modules():
        if isinstance(part, ImageEncoder):
            part.checkpointing = wanted


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or of Python means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # What the allocator of the CPU says: torch on Linux, and on Windows or older ones.
    told = ("DefaultCPUAllocator: can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in told)


@contextmanager
def explaining_memory(advise: Callable[[], str]) -> Iterator[None]:
    """Turn memory that ran out into advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        failed = error
        clear_frames(error.__traceback__)  # they hold what filled the memory, and trying would start from there
    else:
        return
    raise SettingsError(advise()) from failed


def advise_fewer(lesson: "Lesson", learning: Sequence[Tensor]) -> str:
    """What helps where the optimiser itself does not fit: its state is as large as what learns, whatever the batch."""
    millions = sum(weight.numel() for weight in learning) / 1e6
    remedy = "Use a smaller SAM"
    if lesson.settings.optimiser == "adamw":
        remedy += ", or --set train.optimiser=muon, which keeps one number for most"
    return (
        f"Memory ran out in stage {lesson.stage.name} where the optimiser keeps up to two numbers for each of "
        f"{millions:.1f} million weights that learn; a smaller batch does not change that. {remedy}."
    )


def advise_smaller(fabric: Fabric, module: nn.Module, lesson: "Lesson", batch: Batch, moment: Moment) -> str:
    """Settings with which a batch fits, in the run's precision. The method is of no use afterwards.

    Of several processes only one may have run out: what norms and gradients of a trial sent would meet the step of the
    others, and neither end. Nothing is tried then.
    """

    def learn(part: Batch, at: Moment) -> None:
        with fabric.autocast():
            loss = lesson.stage.loss(part, at)["loss"]
        loss.backward()

    rows, side = len(batch), batch.image_BCHW.shape[-1]
    found = f"Memory ran out in stage {lesson.stage.name} with batch {rows} at size {side}."
    others = ["--set machine.precision=bf16"]
    if not lesson.settings.checkpointing:
        others.append("--set train.checkpointing=true")
    if fabric.world_size > 1:
        remedy = "Use a smaller --set train.size"
        if rows > 1:
            remedy = f"{_fewer_at_once(rows, rows // 2, lesson)} for the same steps"
        return (
            f"{found} Nothing smaller was tried, as one of {fabric.world_size} processes cannot alone. {remedy}, "
            f"or save memory with {' or '.join(others)}."
        )
    trial = _Trial(learn, module, batch, moment)
    if fitting := trial.largest_batch():
        remedy = _fewer_at_once(rows, fitting, lesson)
        return f"{found} {_tried(fitting)} {remedy} for the same steps, or save memory with {' or '.join(others)}."
    if smaller := trial.largest_side():
        return (
            f"{found} Tried: one image fits at size {smaller}. Use --set train.size={smaller} --set train.batch=1, "
            f"or save memory with {' or '.join(others)}."
        )
    return f"{found} Nothing smaller fitted either. Try {' and '.join(others)}, or a smaller teacher."


def advise_while_judging(fabric: Fabric, method: Method, lesson: "Lesson", batch: Batch, moment: Moment) -> str:
    """What helps where validation, which keeps nothing for a gradient, does not fit."""
    judge = lesson.judge
    assert judge is not None

    def measure(part: Batch, at: Moment) -> None:
        with torch.no_grad(), fabric.autocast():
            judge.measure(method, part, at)

    found = f"Memory ran out while validating stage {lesson.stage.name} with batch {len(batch)}."
    if fitting := _Trial(measure, method, batch, moment).largest_batch():
        return f"{found} {_tried(fitting)} {_fewer_at_once(len(batch), fitting, lesson)}."
    return f"{found} Nothing smaller fitted. Use a smaller --set train.size, or --set train.validations=0."


def _tried(rows: int) -> str:
    return f"Tried: batch {rows} fits."


def _fewer_at_once(rows: int, fitting: int, lesson: "Lesson") -> str:
    factor = -(-rows // fitting) * lesson.settings.accumulate
    return f"Use --set train.batch={fitting} --set train.accumulate={factor}"


@dataclass(frozen=True)
class _Trial:
    """What ran out of memory, tried again with less."""

    compute: Callable[[Batch, Moment], None]
    module: nn.Module
    batch: Batch
    moment: Moment

    def largest_batch(self) -> int | None:
        rows = len(self.batch) // 2
        while rows:
            if self._fits(rows, self.batch.image_BCHW.shape[-1]):
                return rows
            rows //= 2
        return None

    def largest_side(self) -> int | None:
        side = self.batch.image_BCHW.shape[-1] // 2
        while side >= 32:
            if self._fits(1, side):
                return side
            side //= 2
        return None

    def _fits(self, rows: int, side: int) -> bool:
        self.module.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        start = self.moment.places.start
        try:
            self.compute(_part(self.batch, rows, side), replace(self.moment, places=range(start, start + rows)))
        except SettingsError:  # such a batch is no batch to the method, as a single map is none to MMD over maps
            return False
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return False
            raise
        return True


def _part(batch: Batch, rows: int, side: int) -> Batch:
    label = None if batch.label_BHW is None else batch.label_BHW[:rows, :side, :side]
    return replace(
        batch,
        image_BCHW=batch.image_BCHW[:rows, :, :side, :side],
        valid_BHW=batch.valid_BHW[:rows, :side, :side],
        label_BHW=label,
        keys=batch.keys[:rows],
        views=batch.views[:rows],
    )
