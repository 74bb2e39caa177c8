"""Out of memory, said in one line: which settings would fit, by trying smaller ones."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

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
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)


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


def advise_smaller(fabric: Fabric, module: Any, lesson: "Lesson", batch: Batch, moment: Moment) -> str:
    """Settings with which a batch fits. The method is of no use afterwards."""
    settings, name = lesson.settings, lesson.stage.name
    rows, side = len(batch), batch.image_BCHW.shape[-1]
    found = f"Memory ran out in stage {name} with batch {rows} at size {side}."
    others = ["--set machine.precision=bf16"]
    if not settings.checkpointing:
        others.append("--set train.checkpointing=true")
    fitting = _largest_batch(fabric, module, lesson, batch, moment)
    if fitting:
        factor = -(-rows // fitting) * settings.accumulate
        remedy = f"Tried: batch {fitting} fits. Use --set train.batch={fitting} --set train.accumulate={factor}"
        return f"{found} {remedy} for the same steps, or save memory with {' or '.join(others)}."
    smaller = _largest_side(fabric, module, lesson, batch, moment)
    if smaller:
        return (
            f"{found} Tried: one image fits at size {smaller}. Use --set train.size={smaller} --set train.batch=1, "
            f"or save memory with {' or '.join(others)}."
        )
    return f"{found} Nothing smaller fitted either. Try {' and '.join(others)}, or a smaller teacher."


def advise_while_judging(fabric: Fabric, method: Method, lesson: "Lesson", batch: Batch, moment: Moment) -> str:
    """What helps where validation, which keeps nothing for a gradient, does not fit."""
    found = f"Memory ran out while validating stage {lesson.stage.name} with batch {len(batch)}"
    rows = len(batch) // 2
    while rows and not _can_be_judged(fabric, method, lesson, _part(batch, rows, batch.image_BCHW.shape[-1]), moment):
        rows //= 2
    if not rows:
        return f"{found}. Nothing smaller fitted. Use a smaller --set train.size, or --set train.validations=0."
    factor = -(-len(batch) // rows) * lesson.settings.accumulate
    return f"{found}. Tried: batch {rows} fits. Use --set train.batch={rows} --set train.accumulate={factor}."


def _can_be_judged(fabric: Fabric, method: Method, lesson: "Lesson", batch: Batch, moment: Moment) -> bool:
    assert lesson.judge is not None
    _forget()
    try:
        with torch.no_grad(), fabric.autocast():
            lesson.judge.measure(method, batch, replace(moment, places=_first(moment.places, batch)))
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return False
        raise
    return True


def _forget() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _first(places: range, batch: Batch) -> range:
    return range(places.start, places.start + len(batch))


def _largest_batch(fabric: Fabric, module: Any, lesson: "Lesson", batch: Batch, moment: Moment) -> int | None:
    rows = len(batch) // 2
    while rows:
        if _fits(fabric, module, lesson, _part(batch, rows, batch.image_BCHW.shape[-1]), moment):
            return rows
        rows //= 2
    return None


def _largest_side(fabric: Fabric, module: Any, lesson: "Lesson", batch: Batch, moment: Moment) -> int | None:
    side = batch.image_BCHW.shape[-1] // 2
    while side >= 32:
        if _fits(fabric, module, lesson, _part(batch, 1, side), moment):
            return side
        side //= 2
    return None


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


def _fits(fabric: Fabric, module: Any, lesson: "Lesson", batch: Batch, moment: Moment) -> bool:
    """Whether the loss and its gradient of such a batch can be computed, in the run's precision."""
    module.zero_grad(set_to_none=True)
    _forget()
    try:
        with fabric.autocast():
            loss = lesson.stage.loss(batch, replace(moment, places=_first(moment.places, batch)))["loss"]
        loss.backward()
    except SettingsError:  # such a batch is no batch to the method, as a single map is none to MMD over maps
        return False
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return False
        raise
    return True
