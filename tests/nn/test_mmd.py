"""MMD: the authors' numbers and degeneracies, distances as exact as float64, and the token form that has neither."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sensam.errors import SettingsError
from sensam.nn.mmd import _whole_mmd, mmd_of_maps, mmd_of_tokens, squared_distances


def official(student: Tensor, teacher: Tensor) -> Tensor:
    """As published: every difference broadcast, one Gaussian whose width is the mean distance, a biased mean."""
    both = torch.cat([student, teacher]).flatten(1)
    distances = (both[None] - both[:, None]).square().sum(2)
    n, count = len(both), len(student)
    kernel = torch.exp(-distances / (distances.detach().sum() / (n * n - n)))
    joint = kernel[:count, :count] + kernel[count:, count:] - kernel[:count, count:] - kernel[count:, :count]
    return joint.mean()


def maps(count: int, features: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.slow
@pytest.mark.parametrize(("count", "features"), [(2, 7), (5, 100_003)])
def test_it_is_the_official_form_to_a_part_in_ten_thousand_of_float64(count: int, features: int) -> None:
    student, teacher = maps(count, features, 0, 0.3).requires_grad_(), maps(count, features, 1)
    exact_student = student.detach().double().requires_grad_()
    exact = official(exact_student, teacher.double())
    found = mmd_of_maps(student, teacher)
    found.backward()
    exact.backward()
    assert found.item() == pytest.approx(exact.item(), rel=1e-4)
    error = (student.grad.double() - exact_student.grad).norm() / exact_student.grad.norm()
    assert error < 1e-4


def test_distances_are_right_where_samples_are_close_together_and_far_from_zero() -> None:
    left, right = maps(3, 5000, 0) * 0.01 + 100, maps(3, 5000, 1) * 0.01 + 100
    both = torch.cat([left, right]).double()
    exact = (both[None] - both[:, None]).square().sum(2)
    torch.testing.assert_close(squared_distances(left, right), exact, rtol=1e-4, atol=1e-9)


def test_only_what_needs_a_gradient_gets_one() -> None:
    student, teacher = maps(2, 9).requires_grad_(), maps(2, 9, 1)
    squared_distances(student, teacher).sum().backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize("seed", range(3))
def test_of_one_map_it_is_a_constant_and_is_refused(seed: int) -> None:
    assert _whole_mmd(maps(1, 50, seed), maps(1, 50, seed + 9)).item() == pytest.approx(2 - 2 / math.e, rel=1e-5)
    with pytest.raises(SettingsError, match="at least 2"):
        mmd_of_maps(maps(1, 50), maps(1, 50))


def test_equal_sets_give_zero_and_no_nan() -> None:
    same = maps(3, 40).requires_grad_()
    for student in (same, torch.ones(3, 40, requires_grad=True)):
        loss = mmd_of_maps(student, student.detach().clone())
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert gradient.isfinite().all()


def test_over_maps_it_does_not_matter_whose_teacher_is_whose() -> None:
    teacher = maps(4, 200)
    assert mmd_of_maps(teacher[[2, 0, 3, 1]], teacher).item() == pytest.approx(0, abs=1e-6)


def tokens(count: int, seed: int = 0) -> Tensor:
    return torch.randn(1, count, 8, generator=torch.Generator().manual_seed(seed))


def test_over_tokens_one_image_is_enough_and_closer_is_less() -> None:
    teacher, noise = tokens(60), tokens(60, 1) + 1
    losses = [mmd_of_tokens(teacher + scale * noise, teacher).item() for scale in (2.0, 1.0, 0.3, 0.1, 0.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.1
    assert losses[-1] == pytest.approx(0, abs=1e-6)


def test_over_tokens_it_is_the_mean_of_five_dense_kernels() -> None:
    student, teacher = tokens(20).double()[0] * 2, tokens(20, 1).double()[0]
    both = torch.cat([student, teacher])
    distances = (both[None] - both[:, None]).square().sum(2)
    width = distances.sum() / (40 * 39)
    kernel = sum(torch.exp(-distances / (width * factor)) for factor in (0.25, 0.5, 1, 2, 4)) / 5
    exact = kernel[:20, :20].mean() + kernel[20:, 20:].mean() - 2 * kernel[:20, 20:].mean()
    assert mmd_of_tokens(student[None].float(), teacher[None].float()).item() == pytest.approx(exact.item(), rel=1e-4)


def test_over_tokens_in_pieces_is_as_at_once() -> None:
    student, teacher = tokens(33).requires_grad_(), tokens(33, 1)
    dense, pieces = (mmd_of_tokens(student, teacher, rows=rows) for rows in (1000, 7))
    torch.testing.assert_close(dense, pieces)
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (dense, pieces)]
    torch.testing.assert_close(*gradients)


def test_of_many_tokens_it_takes_no_more_than_asked_and_the_same_of_both() -> None:
    student, teacher = tokens(100), tokens(100, 1)
    torch.testing.assert_close(
        mmd_of_tokens(student, teacher, most=30), mmd_of_tokens(student[:, ::4], teacher[:, ::4])
    )


def test_over_many_tokens_no_tensor_is_larger_than_the_kernel_of_the_most() -> None:
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            made = [each for each in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(each, Tensor)]
            self.numbers = max([self.numbers, *(each.numel() for each in made)])
            return out

    student, teacher = tokens(3000).requires_grad_(), tokens(3000, 1)
    for most, rows in ((300, 1024), (300, 100)):
        with Largest() as largest:
            mmd_of_tokens(student, teacher, most=most, rows=rows).backward()
        assert largest.numbers <= max(2 * most * min(rows, 2 * most), student.numel())
    with Largest() as largest:
        mmd_of_tokens(student, teacher, most=3000)
    assert largest.numbers > 4_000_000, "and it would be seen"
