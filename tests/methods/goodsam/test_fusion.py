"""Fusion of masks and classes: cases worked out by hand, order that does not matter, and what it gains."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sensam.methods.goodsam.fusion import FusionReport, fuse_windows
from sensam.methods.goodsam.settings import FusionSettings
from sensam.sam.regions import Regions
from tests.methods.goodsam.conftest import (
    CLASSES,
    POLE,
    Blurred,
    World,
    fuse,
    make_world,
    miou,
    near_boundary,
    simulate_masks,
    to_regions,
)

SMALL = FusionSettings(min_area=0)  # hand cases are far below 100 pixels
LENIENT = SMALL.model_copy(update={"min_purity": 0.0})
THIN = np.array([False, False, False, True])
FLAT = np.ones((20, 20))


def certain(label_HW: NDArray[np.int64], classes: int = 4, sure: float = 0.9) -> NDArray[np.float32]:
    prob = np.full((classes, *label_HW.shape), (1 - sure) / (classes - 1), np.float32)
    np.put_along_axis(prob, label_HW[None], sure, 0)
    return prob


def striped(*shares: int, classes: int = 4) -> NDArray[np.float32]:
    """20 x 20, of which the shares in per cent are classes 0, 1, 2, ... as rows of pixels."""
    label = np.repeat(np.arange(len(shares)), [4 * share for share in shares]).reshape(20, 20)
    return certain(label, classes)


def whole(scores: float = 1.0) -> Regions:
    """One mask over everything."""
    return to_regions(np.ones((1, 20, 20), bool), scores)


def test_without_masks_nothing_changes_by_a_bit() -> None:
    prob = np.random.default_rng(0).dirichlet(np.ones(4), (20, 20)).astype(np.float32).transpose(2, 0, 1)
    fused, report = fuse(prob, to_regions(np.zeros((0, 20, 20), bool)), THIN, FusionSettings(), FLAT)
    assert np.array_equal(fused, prob)
    assert fused is not prob
    assert report == FusionReport()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 6))
def test_any_masks_give_probabilities(seed: int, count: int) -> None:
    dice = np.random.default_rng(seed)
    prob = dice.dirichlet(np.full(4, 0.3), (12, 16)).astype(np.float32).transpose(2, 0, 1)
    masks = dice.random((count, 12, 16)) < dice.random((count, 1, 1))
    one = np.zeros((1, 12, 16), bool)
    one[0, 3, 3] = True
    odd = np.concatenate([masks, masks, one, one & False, one | True])  # duplicates, one pixel, none, all
    fused, report = fuse(prob, to_regions(odd), THIN, LENIENT, np.linspace(0.5, 1, 12)[:, None])
    assert np.isfinite(fused).all()
    assert (fused >= 0).all()
    assert np.allclose(fused.sum(0), 1, atol=1e-5)
    assert report.accepted + report.ambiguous == report.masks


def test_a_mask_takes_the_class_of_its_majority_or_none() -> None:
    fused, report = fuse(striped(60, 40), whole(), THIN, LENIENT, FLAT)
    assert (fused.argmax(0) == 0).all()
    assert report.accepted == 1
    divided = striped(45, 30, 25)
    fused, report = fuse(divided, whole(), THIN, LENIENT, FLAT)
    assert np.array_equal(fused, divided)
    assert (report.accepted, report.ambiguous) == (0, 1)


def test_how_far_a_mask_pulls() -> None:
    prob = striped(60, 40)
    fused, _ = fuse(prob, whole(), THIN, LENIENT, FLAT)
    pull = 0.9 * 0.6
    assert fused[0, 0, 0] == pytest.approx((1 - pull) * 0.9 + pull, abs=1e-5)
    assert fused[0, -1, 0] == pytest.approx((1 - pull) * (0.1 / 3) + pull, abs=1e-5)
    weaker, _ = fuse(prob, whole(0.5), THIN, LENIENT, FLAT)
    assert weaker[0, 0, 0] == pytest.approx((1 - pull / 2) * 0.9 + pull / 2, abs=1e-5)
    untouched, _ = fuse(prob, whole(), THIN, LENIENT.model_copy(update={"strength": 0.0}), FLAT)
    assert np.allclose(untouched, prob, atol=1e-6)


def test_small_masks_paint_last_and_what_no_mask_covers_stays() -> None:
    label = np.zeros((20, 20), np.int64)
    label[8:12, 8:12] = 1
    label[0] = 2
    prob = certain(label)
    parent = np.zeros((20, 20), bool)
    parent[2:] = True
    child = np.zeros((20, 20), bool)
    child[7:13, 7:13] = True
    child_of_road = replace_class(prob, child)
    fused, _ = fuse(child_of_road, to_regions(np.stack([child, parent])), THIN, LENIENT, FLAT)
    assert (fused.argmax(0)[child] == 1).all()
    assert (fused.argmax(0)[parent & ~child] == 0).all()
    assert np.allclose(fused[:, :2], child_of_road[:, :2], atol=1e-6)


def replace_class(prob: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mostly class 1 within a mask."""
    changed = prob.copy()
    rows = np.argwhere(where)[:25]
    for row, column in rows:
        changed[:, row, column] = certain(np.array([[1]]))[:, 0, 0]
    return changed


def test_a_thin_class_is_saved_in_a_small_mask_only() -> None:
    def scene(tall: int, wide: int, kind: int) -> tuple[NDArray[np.float32], Regions]:
        label = np.zeros((100, 100), np.int64)
        mask = np.zeros((1, 100, 100), bool)
        mask[0, :tall, :wide] = True
        label[: tall * 20 // 100, :wide] = kind
        label[tall * 90 // 100 : tall, :wide] = 2
        return certain(label), to_regions(mask)

    flat = np.ones((100, 1))
    small = scene(10, 7, 3)
    fused, report = fuse(*small, THIN, LENIENT, flat)
    assert report.rescued == 1
    assert (fused.argmax(0)[:10, :7] == 3).all()
    large = scene(50, 50, 3)
    fused, report = fuse(*large, THIN, LENIENT, flat)
    assert report.rescued == 0
    assert (fused.argmax(0)[30:40, :50] == 0).all()
    for thin in (THIN & False, np.array([True, False, False, True])):  # class 0 is large, or both are thin
        assert fuse(*small, thin, LENIENT, flat)[1].rescued == 0
    vehicle, mask = scene(10, 7, 1)
    assert fuse(vehicle, mask, THIN, LENIENT, flat)[1].rescued == 0
    unsure = small[0].copy()
    unsure[:, :2, :7] = certain(np.full((2, 7), 3), sure=0.6)
    assert fuse(unsure, small[1], THIN, LENIENT, flat)[1].rescued == 0


def test_a_sure_thin_pixel_survives_a_mask_around_it() -> None:
    label = np.zeros((20, 20), np.int64)
    label[:, 10] = 3
    prob = certain(label)
    prob[:, :10, 10] = certain(np.full((10, 1), 3), sure=0.995)[..., 0]
    fused, _ = fuse(prob, whole(), THIN, LENIENT, FLAT)
    found = fused.argmax(0)
    assert (found[:10, 10] == 3).all()
    assert (found[10:, 10] == 0).all()
    assert np.allclose(fused[:, :10, 10], prob[:, :10, 10], atol=1e-6)


def test_rows_count_by_their_part_of_the_sphere() -> None:
    prob = striped(55, 45)
    steep = np.concatenate([np.full(11, 0.1), np.full(9, 1.0)])[:, None]
    assert (fuse(prob, whole(), THIN, LENIENT, steep)[0].argmax(0) == 1).all()


def test_the_order_of_masks_does_not_matter() -> None:
    dice = np.random.default_rng(4)
    prob = dice.dirichlet(np.full(4, 0.2), (24, 24)).astype(np.float32).transpose(2, 0, 1)
    masks = np.zeros((5, 24, 24), bool)
    for number, (row, column) in enumerate([(0, 0), (4, 4), (4, 6), (2, 4), (4, 4)]):
        masks[number, row : row + 12, column : column + 12] = True  # five overlapping ones of equal area
    masks[4, 4, 4], masks[4, 3, 4] = False, True  # as large, and another shape
    flat = np.ones((24, 1))
    first, _ = fuse(prob, to_regions(masks), THIN, LENIENT, flat)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        assert np.array_equal(fuse(prob, to_regions(masks[order]), THIN, LENIENT, flat)[0], first)


def test_masks_too_small_to_be_sure_of_are_not_asked() -> None:
    tiny = np.zeros((1, 20, 20), bool)
    tiny[0, :2, :2] = True
    assert fuse(striped(100), to_regions(tiny), THIN, FusionSettings(min_area=20_000), FLAT)[1].masks == 0
    assert fuse(striped(100), to_regions(tiny), THIN, FusionSettings(), FLAT)[1].masks == 1


def answer(world: World) -> NDArray[np.float32]:
    with torch.no_grad():
        prob: NDArray[np.float32] = Blurred()(world.image_CHW[None]).softmax(1)[0].numpy()
    return prob


def scores(masks_of: "dict[int, Regions]", count: int = 8) -> tuple[float, float]:
    """mIoU everywhere and near boundaries of the fused answers."""
    found, truth, near = [], [], []
    for seed in range(count):
        world = make_world(seed)
        thin = np.arange(len(CLASSES)) == POLE
        fused, _ = fuse(answer(world), masks_of[seed], thin, FusionSettings(), np.ones((48, 1)))
        found.append(fused.argmax(0))
        truth.append(world.label_HW)
        near.append(near_boundary(world.label_HW))
    everywhere, where = np.stack(truth), np.stack(near)
    return miou(np.stack(found), everywhere), miou(np.stack(found)[where], everywhere[where])


@pytest.mark.slow
def test_masks_improve_the_assistant_the_more_of_them_are_found() -> None:
    none = to_regions(np.zeros((0, 48, 192), bool))
    alone = scores(dict.fromkeys(range(8), none))
    worlds = [make_world(seed) for seed in range(8)]
    by_drop = [
        scores({seed: simulate_masks(world.instance_HW, seed, drop=drop) for seed, world in enumerate(worlds)})
        for drop in (0.0, 0.3, 0.6, 0.9)
    ]
    assert by_drop[0][0] - alone[0] >= 9, "perfect masks"
    for one, other in pairwise(by_drop):
        assert one[0] > other[0]
        assert one[1] > other[1]
    usual = scores(
        {seed: simulate_masks(world.instance_HW, seed, drop=0.15, split=0.25) for seed, world in enumerate(worlds)}
    )
    assert usual[0] - alone[0] >= 4
    assert usual[1] - alone[1] >= 4, "near boundaries"


@pytest.mark.slow
def test_masks_of_another_image_are_found_out() -> None:
    worlds = [make_world(seed) for seed in range(20)]
    masks = [simulate_masks(world.instance_HW, seed, drop=0.15) for seed, world in enumerate(worlds)]
    thin = np.arange(len(CLASSES)) == POLE
    flat = np.ones((48, 1))
    right = [fuse(answer(w), m, thin, FusionSettings(), flat)[1] for w, m in zip(worlds, masks, strict=True)]
    others = masks[1:] + masks[:1]
    wrong = [fuse(answer(w), m, thin, FusionSettings(), flat) for w, m in zip(worlds, others, strict=True)]
    assert np.mean([r.purity for r in right]) - np.mean([r.purity for _, r in wrong]) >= 0.1
    assert np.mean([r.is_used for r in right]) >= 0.9
    assert np.mean([not r.is_used for _, r in wrong]) >= 0.9
    for world, (fused, report) in zip(worlds, wrong, strict=True):
        assert report.is_used or np.array_equal(fused, answer(world))


def test_windows_are_judged_together() -> None:
    good, bad = certain(np.zeros((20, 20), np.int64)), striped(40, 30, 30)
    fused, report = fuse_windows([good, bad], [whole(), whole()], THIN, SMALL, [FLAT, FLAT])
    assert report.purity == pytest.approx(0.7)
    assert not report.is_used
    assert np.array_equal(fused[0], good)
    four = fuse_windows([good] * 3 + [bad], [whole()] * 4, THIN, SMALL, [FLAT] * 4)[1]
    assert four == replace(four, is_used=True, accepted=3, ambiguous=1)
