"""Consistency between windows: zero where they agree, bounded, around the seam; and why it needs an anchor."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from sensam.data.lens import FlatLens, PanoramaLens
from sensam.data.panorama import plan_crops
from sensam.methods.goodsam.consistency import anchor_loss, consistency_loss, divergence_to
from sensam.methods.goodsam.settings import GoodSamConfig, RectifySettings
from tests.methods.goodsam.conftest import CLASSES, Blurred, make_world, miou

PLAN = plan_crops(PanoramaLens((6, 64)), columns=8, rows=1, overlap=0.36)


class LittleAbove(PanoramaLens):
    """Its top row is a tenth of the others."""

    @property
    def area_HW(self) -> torch.Tensor:
        return torch.tensor([0.1] + [1.0] * 5, dtype=torch.float64)[:, None].expand(self.size)


def test_zero_where_windows_agree_positive_elsewhere_and_bounded() -> None:
    agreed = PLAN.cut(torch.randn(2, 3, 6, 64).softmax(1))
    assert float(consistency_loss(agreed, PLAN)) == pytest.approx(0, abs=1e-6)
    apart = torch.randn(2, len(PLAN), 3, *PLAN.shape).softmax(2)
    for divergence in ("js", "kl", "mse"):
        assert float(consistency_loss(apart, PLAN, divergence=divergence)) > 0.01  # type: ignore[arg-type]
    certain = torch.zeros(1, len(PLAN), 2, *PLAN.shape)
    certain[:, 0::2, 0] = certain[:, 1::2, 1] = 1
    assert float(consistency_loss(certain, PLAN)) == pytest.approx(math.log(2), abs=1e-5)
    assert float(consistency_loss(apart, PLAN)) < math.log(2)


@pytest.mark.parametrize("divergence", ["js", "kl", "mse"])
def test_symmetric_in_both_sides(divergence: str) -> None:
    pair = plan_crops(FlatLens((6, 20)), columns=2, rows=1, overlap=0.36)
    one = torch.randn(1, 2, 3, *pair.shape).softmax(2)
    shared = next(iter(pair.overlaps()))
    other = one.clone()
    other[:, 0][(..., *shared.in_first)] = one[:, 1][(..., *shared.in_second)]
    other[:, 1][(..., *shared.in_second)] = one[:, 0][(..., *shared.in_first)]
    values = [float(consistency_loss(each, pair, divergence=divergence)) for each in (one, other)]  # type: ignore[arg-type]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_the_pair_around_the_seam_counts() -> None:
    prob = PLAN.cut(torch.randn(1, 3, 6, 64).softmax(1))
    changed = prob.clone()
    beyond = 64 // 8
    changed[:, 7, :, :, beyond:] = changed[:, 7, :, :, beyond:].roll(1, 1)  # what window 7 shares with window 0
    pairs = {(shared.first, shared.second) for shared in PLAN.overlaps()}
    assert (7, 0) in pairs
    assert float(consistency_loss(changed, PLAN)) > 0.001
    flat = plan_crops(FlatLens((6, 64)), columns=8, rows=1, overlap=0.36)
    assert (7, 0) not in {(shared.first, shared.second) for shared in flat.overlaps()}


def test_pixels_count_by_area_and_only_where_valid() -> None:
    prob = PLAN.cut(torch.full((1, 2, 6, 64), 0.5))
    prob[:, 0, :, 0] = torch.tensor([0.9, 0.1])[:, None]  # one window differs in its top row
    few = replace(PLAN, lens=LittleAbove((6, 64)))
    assert float(consistency_loss(prob, few)) < 0.2 * float(consistency_loss(prob, PLAN))
    valid = torch.ones(1, len(PLAN), *PLAN.shape, dtype=torch.bool)
    valid[:, :, 0] = False
    assert float(consistency_loss(prob, PLAN, valid_BKhw=valid)) == pytest.approx(0, abs=1e-6)


def test_one_window_has_nothing_to_agree_with() -> None:
    alone = plan_crops(PanoramaLens((6, 64)), columns=1, rows=1, overlap=0.36)
    prob = torch.randn(1, 1, 3, 6, 64).softmax(2).requires_grad_()
    loss = consistency_loss(prob, alone)
    loss.backward()
    assert loss.item() == 0


def test_the_anchor_is_zero_at_the_source_and_leaves_out_what_is_told() -> None:
    source = torch.randn(1, 2, 3, 4, 4).softmax(2)
    everywhere = torch.ones(1, 2, 4, 4, dtype=torch.bool)
    assert float(anchor_loss(source.log(), source, everywhere)) == pytest.approx(0, abs=1e-6)
    moved = source.clone()
    moved[..., 0, 0] = torch.tensor([0.98, 0.01, 0.01])
    assert float(anchor_loss(moved.log(), source, everywhere)) > 0
    but_one = everywhere.clone()
    but_one[..., 0, 0] = False
    assert float(anchor_loss(moved.log(), source, but_one)) == pytest.approx(0, abs=1e-6)
    certain = torch.tensor([1.0, 0.0]).view(2, 1)
    assert float(divergence_to(certain.clamp(min=1e-9).log(), certain, 0)) == pytest.approx(0, abs=1e-6)


def adapt(consistency: float, anchor: float, steps: int = 60) -> tuple[float, float, int]:
    """mIoU before and after, and how many classes are left, when only these two losses teach."""
    worlds = [make_world(seed, (32, 128)) for seed in range(2)]
    net, source = Blurred(3, 0), Blurred(3, 0)
    plan = plan_crops(PanoramaLens((32, 128)), columns=4, rows=1, overlap=0.36)
    image = torch.stack([world.image_CHW for world in worlds])
    windows = plan.cut(image).flatten(0, 1)
    with torch.no_grad():
        frozen = source(windows).softmax(1).unflatten(0, (2, 4))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    everywhere = torch.ones(2, 4, *plan.shape, dtype=torch.bool)
    for _ in range(steps):
        log_prob = net(windows).log_softmax(1).unflatten(0, (2, 4))
        loss = consistency * consistency_loss(log_prob.exp(), plan)
        loss = loss + anchor * anchor_loss(log_prob, frozen, everywhere)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    truth = np.stack([world.label_HW for world in worlds])
    with torch.no_grad():
        before, after = (each(image).argmax(1).numpy() for each in (source, net))
    return miou(before, truth), miou(after, truth), len(np.unique(after))


@pytest.mark.slow
def test_consistency_alone_collapses_and_the_anchor_prevents_it() -> None:
    before, alone, _ = adapt(1.0, 0.0)
    assert before - alone >= 15, "the negative control"
    _, anchored, classes = adapt(1.0, 1.0)
    assert before - anchored <= 3
    assert classes == len(CLASSES)


def test_consistency_without_anchor_is_refused_unless_forced(make_config: Callable[..., GoodSamConfig]) -> None:
    with pytest.raises(ValidationError, match="set anchor above 0, or force: true"):
        RectifySettings(anchor=0)
    with pytest.raises(ValidationError, match="anchor"):
        make_config(rectify={"consistency": 0.2, "anchor": 0})
    assert RectifySettings(anchor=0, force=True).consistency == 1
    assert RectifySettings(anchor=0, consistency=0).boundary == 0.5
