"""How much memory learning and looking take at most, counted allocation by allocation on a small SAM."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from sensam.methods.base import Moment, Task
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.methods.tuning import Strategy
from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import chunked
from sensam.sam.model import Sam
from sensam.types import Batch
from tests.methods.conftest import make_sensor

SIDE = 256
WIDE = Anatomy("wide", 32, 2, 2, (0, 1), 3, patch=8, image_size=SIDE, embedding=16, decoder_heads=2, decoder_mlp=16)
SCORES = 2 * (SIDE // 8) ** 4 * 4  # bytes of one global block's attention over one image


@pytest.fixture(autouse=True)
def little_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small SAM shows what a large one would: what attention may hold at a time is little beside its map."""
    monkeypatch.setitem(chunked.SCRATCH, "cpu", 2**16)


def most_held(work: Callable[[], object]) -> int:
    """Bytes held at most at any moment of the work, beyond what was held before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def learning(strategy: Strategy, attention: str) -> int:
    """Bytes of a forward and a backward pass over one image."""
    sam = Sam(replace(WIDE))
    settings = SimMatConfig(strategy=strategy, projector="linear_frozen_pe", amount=4 if strategy == "lora" else None)
    method = SimMat(Task(make_sensor(4), ("ground", "thing"), sam, size=SIDE), settings)
    method.sam.vision_encoder.use_attention(attention)
    (stage,) = method.stages
    freeze_all_but(method, stage.learns)
    method.train()
    label = torch.zeros(1, SIDE, SIDE, dtype=torch.int64)
    label[:, 20:90, 20:90] = 1
    batch = Batch(torch.randn(1, 4, SIDE, SIDE), label >= 0, label, ("a",))
    return most_held(lambda: stage.loss(batch, Moment(0, 0, 0, range(1)))["loss"].backward())


def test_what_is_counted() -> None:
    ones = torch.ones(1000)
    assert 8000 <= most_held(lambda: (ones + 1) * 2) < 8200  # numbers of the program are tensors too
    assert 20_000 <= most_held(lambda: [ones + number for number in range(5)]) < 20_200


def test_looking_never_holds_a_map_of_attention() -> None:
    sam, image = Sam(WIDE).eval(), torch.randn(1, 3, SIDE, SIDE)

    @torch.no_grad()
    def look(attention: str) -> int:
        sam.vision_encoder.use_attention(attention)
        return most_held(lambda: sam.encode(image))

    explicit, ours = look("explicit"), look("auto")
    assert explicit > 2 * SCORES  # the scores, and what the softmax makes of them
    assert ours < SCORES / 2


@pytest.mark.slow
def test_learning_by_lora_keeps_no_map_of_attention_either() -> None:
    explicit, ours = learning("lora", "explicit"), learning("lora", "auto")
    assert explicit > 2 * 2 * SCORES  # of both blocks, until the backward pass
    assert explicit - ours > 2 * SCORES
    assert ours < 16 * 2**20


@pytest.mark.slow
def test_lora_saves_little_but_gradients() -> None:
    """Activations stay: the spec's measurement, and why the largest batch does not grow much by tuning less."""
    lora, full = learning("lora", "auto"), learning("full", "auto")
    assert 0.7 * full < lora < full
