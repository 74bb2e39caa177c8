"""Losses of class maps: against references written out, over labelled pixels only, in float32, safe without labels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sensam.nn.losses import MapLoss, class_map_loss, cross_entropy, dice, focal

KINDS: tuple[MapLoss, ...] = ("ce", "dice", "focal", "ce+dice")


def example(seed: int = 0, classes: int = 3) -> tuple[Tensor, Tensor]:
    dice_ = torch.Generator().manual_seed(seed)
    label = torch.randint(0, classes, (2, 4, 5), generator=dice_)
    label[torch.rand(label.shape, generator=dice_) < 0.3] = 255
    return torch.randn(2, classes, 4, 5, generator=dice_), label


def by_pixel(logits: Tensor, label: Tensor) -> list[tuple[int, list[float]]]:
    """Class and probabilities of every labelled pixel."""
    chances = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    return [(int(k), p.tolist()) for k, p in zip(label.flatten(), chances, strict=True) if k != 255]


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits, label = example()
    pixels = by_pixel(logits, label)
    assert cross_entropy(logits, label, 255).item() == pytest.approx(
        -sum(math.log(p[k]) for k, p in pixels) / len(pixels), rel=1e-5
    )


def test_class_weights_weigh_pixels_and_the_mean() -> None:
    logits, label = example()
    weights = [0.5, 2.0, 7.0]
    pixels = by_pixel(logits, label)
    mass = sum(weights[k] for k, _ in pixels)
    entropy = -sum(weights[k] * math.log(p[k]) for k, p in pixels) / mass
    focused = -sum(weights[k] * (1 - p[k]) ** 2 * math.log(p[k]) for k, p in pixels) / mass
    assert cross_entropy(logits, label, 255, torch.tensor(weights)).item() == pytest.approx(entropy, rel=1e-5)
    assert focal(logits, label, 255, torch.tensor(weights)).item() == pytest.approx(focused, rel=1e-5)


def test_dice_is_one_minus_the_overlap_averaged_over_classes_that_occur() -> None:
    logits, label = example(classes=4)
    label[label == 3] = 0
    pixels = by_pixel(logits, label)
    losses = []
    for k in range(3):
        both = sum(p[k] for label_, p in pixels if label_ == k)
        losses.append(1 - 2 * both / (sum(p[k] for _, p in pixels) + sum(label_ == k for label_, _ in pixels)))
    assert dice(logits, label, 255).item() == pytest.approx(sum(losses) / 3, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_label_the_loss_is_zero_and_its_gradients_too(kind: MapLoss) -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    for weights in (None, torch.tensor([1.0, 2.0, 3.0])):
        loss = class_map_loss(kind, logits, torch.full((2, 4, 4), 255), ignore=255, weights_K=weights)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert not gradient.any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 99), noise=st.floats(-50, 50))
def test_what_is_ignored_changes_nothing(kind: MapLoss, seed: int, noise: float) -> None:
    logits, label = example(seed)
    changed = torch.where((label == 255)[:, None], logits * 3 + noise, logits)
    losses = [class_map_loss(kind, each, label, ignore=255) for each in (logits, changed)]
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("kind", KINDS)
def test_right_answers_cost_less_and_half_precision_costs_the_same(kind: MapLoss) -> None:
    logits, label = example()
    right = torch.nn.functional.one_hot(label.clamp(max=2), 3).permute(0, 3, 1, 2).float() * 20
    with torch.autocast("cpu", torch.bfloat16):
        half = class_map_loss(kind, logits.bfloat16(), label, ignore=255)
        good = class_map_loss(kind, right, label, ignore=255)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, class_map_loss(kind, logits.bfloat16().float(), label, ignore=255))
    assert good < 1e-3 < half
