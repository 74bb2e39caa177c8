"""Targets that are kept: found again instead of computed, as the teacher sees them, and only where that is true."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.sensors import Sensor
from sensam.types import RANDOM_VIEW, Batch
from tests.methods.conftest import learn, moment

Make = Callable[..., Any]


@pytest.fixture
def batch(make_batch: Make) -> Batch:
    made: Batch = make_batch()
    return replace(made, views=("0,0,32,32/0",) * 2)


@pytest.fixture
def make(make_task: Make, tmp_path: Path) -> Callable[..., E2Sam]:
    task = make_task()

    def build(other: Task | None = None, **settings: Any) -> E2Sam:
        kept = {"cache": tmp_path / "kept", "noise": 0.0, "bank": 2} | settings
        return E2Sam(other or task, E2SamConfig.model_validate(kept))

    return build


def ranged(task: Task, top: float) -> Task:
    """The same task with bands whose valid range ends there."""
    bands = [{"name": name, "mean": 0.0, "std": 1.0, "valid_range": (-100, top)} for name in task.sensor.band_names]
    return replace(task, sensor=Sensor.from_dict({"name": "ranged", "bands": bands}))


def passes(method: E2Sam) -> list[int]:
    """How many images each pass of the teacher saw, from now on."""
    seen: list[int] = []
    method.teacher.encoder.patch_embed.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    return seen


def losses(method: E2Sam, batch: Batch, epoch: int = 0) -> dict[str, float]:
    with torch.no_grad():
        return {name: float(value) for name, value in method.stages[0].loss(batch, moment(epoch=epoch)).items()}


def test_kept_features_are_the_teachers_to_half_precision(make: Make, batch: Batch, tmp_path: Path) -> None:
    method, triples = make(), torch.tensor([[[0, 3, 1]], [[4, 2, 0]]])
    live = make(cache=None).teacher.teach(batch, batch.image_BCHW, triples)
    first, second = (method.teacher.teach(batch, batch.image_BCHW, triples) for _ in range(2))
    assert (live.avoided, first.avoided, second.avoided) == (0, 0, 1)
    full = make(cache_gigabytes=1e-9, cache=tmp_path / "full").teacher.teach(batch, batch.image_BCHW, triples)
    rounded = live.maps_RhwE.half().float()
    assert not torch.equal(rounded, live.maps_RhwE)
    for found in (first, second, full):
        assert torch.equal(found.maps_RhwE, rounded), "a target is the same whether it was kept, found or had no room"


def test_a_bank_is_looked_at_once_however_long_a_student_inherits(make: Make, batch: Batch) -> None:
    method = make(triples=2)
    seen = passes(method)
    log = [losses(method, batch, epoch)["teacher_avoided"] for epoch in range(6)]
    assert log == [0, 1, 1, 1, 1, 1]
    assert sum(seen) == 4
    again = make(triples=2)
    assert losses(again, batch)["teacher_avoided"] == 1
    assert "teacher_avoided" not in losses(make(cache=None), batch)


@pytest.mark.slow
def test_training_with_and_without_keeping_agrees(make: Make, batch: Batch) -> None:
    logs = []
    for settings in ({}, {"cache": None}):
        torch.manual_seed(1)
        method = make(**settings)
        logs.append([each["mse"] for each in learn(method, method.stages[0], [batch] * 8)])
    assert logs[0] == pytest.approx(logs[1], rel=2e-3)


@pytest.mark.parametrize("views", [(), (RANDOM_VIEW, RANDOM_VIEW), ("0,0,32,32/0", RANDOM_VIEW)])
def test_views_that_do_not_come_again_are_refused(make: Make, batch: Batch, views: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"stages\.inherit\.views=grid"):
        losses(make(), replace(batch, views=views))


def test_another_image_view_triple_teacher_scale_or_range_is_another_target(
    make: Make, make_task: Make, batch: Batch
) -> None:
    method, triples = make(), torch.tensor([[[0, 3, 1]], [[4, 2, 0]]])
    method.teacher.teach(batch, batch.image_BCHW, triples)

    def avoided(other: E2Sam, changed: Batch, chosen: torch.Tensor = triples) -> float:
        return other.teacher.teach(changed, changed.image_BCHW, chosen).avoided

    assert avoided(make(), batch) == 1
    assert avoided(make(), replace(batch, keys=("image-1", "image-0"))) == 0
    assert avoided(make(), replace(batch, views=("0,0,32,32/1",) * 2)) == 0
    assert avoided(make(), replace(batch, image_BCHW=batch.image_BCHW * 1.01)) == 0
    assert avoided(make(), batch, triples.flip(-1)) == 0
    assert avoided(make(align_before_shared=True), batch) == 0
    other = make_task()
    with torch.no_grad():
        other.sam.vision_encoder.pos_embed.add_(1)
    assert avoided(make(other), batch) == 0
    first, second = ranged(make_task(), 100), ranged(make_task(), 200)
    second = replace(second, sam=first.sam)
    assert [avoided(make(each, teacher_input="raw"), batch) for each in (first, first, second, second)] == [0, 1, 0, 1]


def test_with_a_cache_images_have_few_triples_unless_told_otherwise(
    make_task: Make, batch: Batch, tmp_path: Path
) -> None:
    method = E2Sam(make_task(5), E2SamConfig(cache=tmp_path))
    drawn = torch.cat([method._draw(batch, moment(epoch=epoch)) for epoch in range(200)], 1)
    assert len(drawn[0].unique(dim=0)) == 16


def test_what_was_computed_in_half_precision_is_kept_apart(make: Make, batch: Batch) -> None:
    method = make()
    with torch.autocast("cpu", torch.bfloat16):
        assert losses(method, batch)["teacher_avoided"] == 0
        assert losses(method, batch)["teacher_avoided"] == 1
    assert losses(method, batch)["teacher_avoided"] < 1
