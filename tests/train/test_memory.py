"""Memory that runs out becomes one line with settings that were tried and fit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from sensam.config import MachineSettings
from sensam.data.loader import Loader
from sensam.data.sample import Sample
from sensam.errors import SettingsError
from sensam.methods.base import Losses, Method, Moment, Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from sensam.train.judges import ClassJudge
from sensam.train.loop import StageRun
from sensam.train.machine import start_machine
from sensam.train.memory import advise_smaller, save_memory
from sensam.types import Batch
from tests.methods.conftest import make_sensor
from tests.tiny_sam import TINY
from tests.train.test_loop import Norms, stage_run
from tests.train.tiny import NOTHING, Drawn


class Again(Drawn):
    """Views that come again, whose features may be kept."""

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        return replace(super().__getitem__(place), view="grid")


def student(**settings: object) -> E2Sam:
    """E2SAM on the same data; what it inherits is refused or kept by its own rules."""
    task = Task(make_sensor(2), ("a", "b", "c"), Sam(TINY), 8)
    return E2Sam(task, E2SamConfig.model_validate(settings))


def run_with(folder: Path, pixels: int, error: Exception, method: Method | None = None) -> StageRun:
    """A stage whose memory holds so many pixels."""
    run = stage_run(folder, method or Norms(), 0 if method else 1, batch=8, validations=0)
    loss = run.lesson.stage.loss

    def limited(batch: Batch, moment: Moment) -> Losses:
        losses = loss(batch, moment)
        if batch.valid_BHW.numel() > pixels:
            raise error
        return losses

    loader = Loader(Again(11), batch_size=8)
    run.lesson = replace(run.lesson, stage=replace(run.lesson.stage, loss=limited), loader=loader)
    return run


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
WINDOWS = RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate")


def provoked() -> RuntimeError:
    """What torch really says where the memory of this machine does not do."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


@pytest.mark.parametrize("error", [CUDA, provoked(), WINDOWS, MemoryError()])
def test_the_largest_batch_that_fits_is_named(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(SettingsError) as caught:
        run_with(tmp_path, 3 * 64, error).fit()
    text = str(caught.value)
    assert "batch 8 at size 8" in text
    assert "--set train.batch=2 --set train.accumulate=4" in text
    assert "train.checkpointing=true" in text
    assert "\n" not in text


def test_smaller_batches_are_tried_with_features_that_are_kept(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"train\.batch=2 --set train\.accumulate=4"):
        run_with(tmp_path, 3 * 64, CUDA, student(cache=tmp_path / "kept")).fit()


def test_a_batch_that_the_method_refuses_does_not_fit(tmp_path: Path) -> None:
    method = student(match="mmd_batch")
    with pytest.raises(SettingsError, match=r"train\.batch=2 --set train\.accumulate=4"):
        run_with(tmp_path / "two", 3 * 64, CUDA, method).fit()
    with pytest.raises(SettingsError, match="Nothing smaller fitted"):
        run_with(tmp_path / "one", 64, CUDA, method).fit()


def test_smaller_batches_are_tried_in_the_precision_of_the_run(tmp_path: Path) -> None:
    run, seen = run_with(tmp_path, 3 * 64, CUDA), []
    loss = run.lesson.stage.loss

    def watching(batch: Batch, moment: Moment) -> Losses:
        seen.append(torch.is_autocast_enabled("cpu"))
        return loss(batch, moment)

    run.lesson = replace(run.lesson, stage=replace(run.lesson.stage, loss=watching))
    run.desk = replace(run.desk, fabric=start_machine(MachineSettings(accelerator="cpu", precision="bf16")))
    with pytest.raises(SettingsError, match=r"train\.batch=2"):
        run.fit()
    assert seen == [False, True, True]  # the module itself was set up before


@pytest.mark.parametrize("build", [Norms, student])
def test_an_optimiser_that_does_not_fit_is_not_blamed_on_the_batch(
    tmp_path: Path, build: Callable[[], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object, **__: object) -> None:
        raise CUDA

    run = run_with(tmp_path, 10**9, CUDA, build())
    monkeypatch.setattr(run.optimisers[0], "step", starved)
    with pytest.raises(SettingsError, match=r"0\.0 million weights.*train\.optimiser=muon") as caught:
        run.fit()
    assert "train.batch" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        (8, "--set train.batch=4 --set train.accumulate=2 for the same steps, or save"),
        (1, "Use a smaller --set train.size"),
    ],
)
def test_one_process_of_several_tries_nothing_that_would_wait_for_the_others(
    tmp_path: Path, rows: int, remedy: str
) -> None:
    run = stage_run(tmp_path, Norms(), batch=rows)

    def communicate(*_: object) -> Losses:
        pytest.fail("another process would answer with another step")

    places, batch = next(run._groups(0, 0))[0]
    lesson = replace(run.lesson, stage=replace(run.lesson.stage, loss=communicate))
    told = advise_smaller(Mock(world_size=2), run.module, lesson, batch, Moment(0, 0, 0, places))
    assert f"with batch {rows} at size 8. Nothing smaller was tried" in told
    assert remedy in told
    assert "\n" not in told


def test_where_one_image_is_too_much_nothing_is_promised(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Nothing smaller fitted"):
        run_with(tmp_path, 0, CUDA).fit()


@dataclass(frozen=True)
class Narrow(ClassJudge):
    """Validation that has memory for so many pixels."""

    pixels: int = 0

    def measure(self, method: Method, batch: Batch, moment: Moment) -> Tensor:
        if batch.valid_BHW.numel() > self.pixels:
            raise CUDA
        return super().measure(method, batch, moment)


@pytest.mark.parametrize(
    ("pixels", "advice"),
    [
        (2 * 64, r"batch 3\. Tried: batch 1 fits\. Use --set train\.batch=1 --set train\.accumulate=3\."),
        (63, r"Nothing smaller fitted\. Use a smaller --set train\.size"),
    ],
)
def test_validation_that_does_not_fit_is_told_what_would(tmp_path: Path, pixels: int, advice: str) -> None:
    method = Norms()
    judge = Narrow(method.task.classes, 255, pixels=pixels)
    with pytest.raises(SettingsError, match=f"while validating stage .* {advice}"):
        stage_run(tmp_path, method, judge=judge, validations=1).fit()


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        run_with(tmp_path, 0, RuntimeError("shape mismatch")).fit()


def test_checkpointing_reaches_every_encoder() -> None:
    module = torch.nn.ModuleList([ImageEncoder(NOTHING), torch.nn.Sequential(ImageEncoder(NOTHING))])
    save_memory(module, True)
    assert all(part.checkpointing for part in module.modules() if isinstance(part, ImageEncoder))
    save_memory(module, False)
    assert not any(part.checkpointing for part in module.modules() if isinstance(part, ImageEncoder))
