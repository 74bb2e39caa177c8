"""Boundaries as SAM sees them: rings, bands and interiors, who is told what, and edges that may stay."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from sensam.methods.goodsam.boundary import (
    boundary_losses,
    find_doubtful,
    inside_classes,
    radius_in,
    rim,
    shrink,
    soft_edges,
    trace,
)
from sensam.methods.goodsam.settings import RectifySettings
from tests.methods.goodsam.conftest import to_regions

SETTINGS = RectifySettings()
NONE_THIN = torch.zeros(3, dtype=torch.bool)


def disc(side: int, middle: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:side, :side]
    return np.asarray((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2)


def box(top: int, left: int, tall: int, wide: int, side: int = 40) -> NDArray[np.bool_]:
    mask = np.zeros((side, side), bool)
    mask[top : top + tall, left : left + wide] = True
    return mask


def one_hot(label_HW: NDArray[np.int64], classes: int = 3, sure: float = 1.0) -> Tensor:
    prob = torch.nn.functional.one_hot(torch.from_numpy(label_HW), classes).movedim(-1, 0).float()
    return prob * sure + (1 - sure) / (classes - 1) * (1 - prob)


def test_the_rim_of_a_disc_is_a_closed_ring_one_pixel_wide() -> None:
    mask = disc(41, (20, 20), 12)
    ring = rim(mask)
    assert not (ring & ~mask).any()
    assert not (ring & shrink(mask, 1)).any()
    _, count = ndimage.label(~ring)
    assert count == 2, "the ring separates its inside from its outside"
    neighbours = ndimage.convolve(ring.astype(int), np.ones((3, 3), int)) - 1
    assert set(neighbours[ring]) <= {2, 3, 4}


def test_band_and_inside_are_the_whole_mask_and_share_nothing() -> None:
    mask = disc(41, (20, 20), 12)
    for radius in (1, 2, 3):
        outlines = trace(to_regions(mask[None]), radius)
        inside, band = outlines.inside_hw.numpy(), outlines.band_hw.numpy()
        assert np.array_equal(inside | band, mask)
        assert not (inside & band).any()
        assert np.array_equal(inside, shrink(mask, radius))


def test_the_edge_is_the_rim_made_wider_and_the_frame_is_no_edge() -> None:
    mask = disc(41, (20, 20), 12)
    for radius in (1, 3):
        away = ndimage.distance_transform_cdt(~rim(mask), "chessboard")
        assert np.array_equal(trace(to_regions(mask[None]), radius).edge_hw.numpy(), away <= radius)
    everything = to_regions(np.ones((1, 20, 20), bool))
    assert not trace(everything, 2).edge_hw.any()
    cut = box(0, 0, 10, 40)  # touches three sides of the frame: only its lower edge is one
    edge = trace(to_regions(cut[None]), 1).edge_hw.numpy()
    assert edge[8:11].all(axis=0)[1:-1].all()
    assert not edge[:7].any()


def test_a_pixel_belongs_to_its_smallest_mask() -> None:
    outlines = trace(to_regions(np.stack([box(5, 5, 30, 30), box(10, 10, 12, 12)])), 1)
    assert int(outlines.owner_hw[15, 15]) == 1
    assert int(outlines.owner_hw[7, 7]) == 0
    assert int(outlines.owner_hw[0, 0]) == -1


def test_slim_masks_count_whole() -> None:
    outlines = trace(to_regions(box(5, 20, 20, 2)[None]), 2)
    assert bool(outlines.slim_N[0])
    assert torch.equal(outlines.inside_hw, outlines.band_hw)
    assert int(outlines.inside_hw.sum()) == 40


def test_edges_on_outlines_cost_nothing_and_more_outlines_never_cost_more() -> None:
    label = np.zeros((40, 40), np.int64)
    label[10:30, 10:30] = 1
    whole = np.ones((40, 40), bool)
    thing = box(10, 10, 20, 20)
    log_prob = one_hot(label).clamp(min=1e-12).log()
    matched = boundary_losses(log_prob, trace(to_regions(np.stack([whole, thing])), 1), NONE_THIN, SETTINGS)
    assert float(matched.edge) == pytest.approx(0, abs=1e-6)
    unmatched = boundary_losses(log_prob, trace(to_regions(whole[None]), 1), NONE_THIN, SETTINGS)
    assert float(unmatched.edge) > 0.01, "an edge far from any outline is punished"
    parts = np.stack([whole, thing, box(12, 12, 8, 8)])  # a part inside one class: an outline without an edge
    more = boundary_losses(log_prob, trace(to_regions(parts), 1), NONE_THIN, SETTINGS)
    assert float(more.edge) <= float(matched.edge) + 1e-6
    for masks in (np.stack([whole, thing]), parts):
        inside, strong = inside_classes(log_prob.exp(), trace(to_regions(masks), 1), SETTINGS)
        assert strong.all()
        assert inside.argmax(1).tolist() == [0, 1, 1][: len(masks)], "targets are those of the class around"


def test_a_wrong_pixel_in_the_band_moves_to_the_class_of_the_inside() -> None:
    outlines = trace(to_regions(box(10, 10, 20, 20)[None]), 1)
    label = np.zeros((40, 40), np.int64)
    label[10:30, 10:30] = 1
    logits = 6 * one_hot(label)
    logits[:, 10, 15] = torch.tensor([4.0, 1.0, 0.0])
    logits.requires_grad_()
    losses = boundary_losses(logits.log_softmax(0), outlines, NONE_THIN, SETTINGS)
    assert losses.doubtful_hw.sum() == 1
    losses.label.backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(0) > 0).sum() == 1, "agreeing pixels, and the inside that votes, are left alone"
    with torch.no_grad():
        moved = (logits - 40 * logits.grad)[:, 10, 15]
    assert int(moved.argmax()) == 1


def test_confident_agreement_costs_nothing() -> None:
    label = np.zeros((40, 40), np.int64)
    label[10:30, 10:30] = 1
    log_prob = one_hot(label, sure=0.97).log().requires_grad_()
    losses = boundary_losses(log_prob, trace(to_regions(box(10, 10, 20, 20)[None]), 1), NONE_THIN, SETTINGS)
    assert losses.label.item() == 0
    assert not losses.doubtful_hw.any()


def test_masks_that_are_small_or_divided_tell_nobody() -> None:
    half = np.zeros((40, 40), np.int64)
    half[:, 20:] = 1
    divided = trace(to_regions(box(10, 10, 20, 20)[None]), 1)
    _, strong = inside_classes(one_hot(half, sure=0.8), divided, SETTINGS)
    assert not strong.any()
    small = trace(to_regions(box(10, 10, 5, 5)[None]), 1)  # nine pixels inside
    _, strong = inside_classes(one_hot(half * 0), small, SETTINGS)
    assert not strong.any()


def test_thin_classes_are_only_overruled_by_slim_masks() -> None:
    thin = torch.tensor([False, False, True])
    label = np.ones((40, 40), np.int64)
    label[10:30, 10] = 2  # a pole at the edge of a large mask of class 1
    prob = one_hot(label)
    broad = trace(to_regions(box(10, 10, 20, 20)[None]), 1)
    inside, strong = inside_classes(prob, broad, SETTINGS)
    assert find_doubtful(prob, broad, inside, strong, ~thin & False, 0.9).sum() == 20
    assert not find_doubtful(prob, broad, inside, strong, thin, 0.9).any()
    label[10:30, 10] = 1
    label[12, 10] = 2
    slim = trace(to_regions(box(10, 10, 20, 1)[None]), 1)
    inside, strong = inside_classes(one_hot(label), slim, SETTINGS)
    assert find_doubtful(one_hot(label), slim, inside, strong, thin, 0.9).nonzero().tolist() == [[12, 10]]


def test_no_mask_no_loss() -> None:
    log_prob = torch.randn(3, 20, 20).log_softmax(0).requires_grad_()
    losses = boundary_losses(log_prob, trace(to_regions(np.zeros((0, 20, 20), bool)), 1), NONE_THIN, SETTINGS)
    assert losses.label.item() == losses.edge.item() == 0
    (losses.label + losses.edge).backward()


def test_soft_edges_and_the_radius_in_a_window() -> None:
    label = np.zeros((4, 6), np.int64)
    label[:, 3:] = 1
    edges = soft_edges(one_hot(label, 2))
    assert edges[:, 2].tolist() == [1.0] * 4
    assert float(edges.sum()) == 4
    assert radius_in((400, 400), SETTINGS) == 1
    assert radius_in((1024, 700), SETTINGS) == 3
