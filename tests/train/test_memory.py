"""Memory that runs out becomes one line with settings that were tried and fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sensam.errors import SettingsError
from sensam.methods.base import Losses, Moment
from sensam.sam.encoder import ImageEncoder
from sensam.train.loop import StageRun
from sensam.train.memory import save_memory
from sensam.types import Batch
from tests.train.test_loop import Norms, stage_run
from tests.train.tiny import NOTHING


def run_with(folder: Path, pixels: int, error: Exception) -> StageRun:
    """A stage whose memory holds so many pixels."""
    run = stage_run(folder, Norms(), batch=8, validations=0)
    loss = run.lesson.stage.loss

    def limited(batch: Batch, moment: Moment) -> Losses:
        if batch.valid_BHW.numel() > pixels:
            raise error
        return loss(batch, moment)

    run.lesson = replace(run.lesson, stage=replace(run.lesson.stage, loss=limited))
    return run


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate")


@pytest.mark.parametrize("error", [CUDA, CPU, MemoryError()])
def test_the_largest_batch_that_fits_is_named(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(SettingsError) as caught:
        run_with(tmp_path, 3 * 64, error).fit()
    text = str(caught.value)
    assert "batch 8 at size 8" in text
    assert "--set train.batch=2 --set train.accumulate=4" in text
    assert "train.checkpointing=true" in text
    assert "\n" not in text


def test_where_one_image_is_too_much_nothing_is_promised(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Nothing smaller fitted"):
        run_with(tmp_path, 0, CUDA).fit()


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        run_with(tmp_path, 0, RuntimeError("shape mismatch")).fit()


def test_checkpointing_reaches_every_encoder() -> None:
    module = torch.nn.ModuleList([ImageEncoder(NOTHING), torch.nn.Sequential(ImageEncoder(NOTHING))])
    save_memory(module, True)
    assert all(part.checkpointing for part in module.modules() if isinstance(part, ImageEncoder))
    save_memory(module, False)
    assert not any(part.checkpointing for part in module.modules() if isinstance(part, ImageEncoder))
