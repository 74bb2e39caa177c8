"""Maximum mean discrepancy between two sets of features: of whole maps (as E2SAM's authors coded it) or of tokens."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from sensam.errors import SettingsError
from sensam.nn.wide import wide

_BLOCK = 1 << 15  # features at a time: a block of a few maps stays in the processor's cache
_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the mean squared distance
_ROWS = 1024  # of a kernel matrix at a time


class _SquaredDistances(torch.autograd.Function):
    """Squared distances among the rows of two matrices together, n x n in float64 where the device has it.

    Broadcasting every difference, as is usual, takes n times the memory of the features. Here features are read once,
    block by block; in each the rows are centred, which changes no distance and saves the Gram form from cancellation,
    and blocks are summed in that width.
    """

    @staticmethod
    def forward(ctx: Any, left_AF: Tensor, right_BF: Tensor) -> Tensor:
        ctx.save_for_backward(left_AF, right_BF)
        n = len(left_AF) + len(right_BF)
        gram = torch.zeros(n, n, dtype=wide(left_AF.device), device=left_AF.device)
        for block in _blocks(left_AF.shape[1]):
            rows = _centred(left_AF, right_BF, block)
            gram += (rows @ rows.T).to(gram.dtype)
        norms = gram.diagonal()
        return (norms[:, None] + norms - 2 * gram).clamp(min=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left_AF, right_BF = ctx.saved_tensors
        both = gradient + gradient.T
        pull = (2 * (torch.diag(both.sum(1)) - both)).float()  # each row is drawn along its differences to the others
        count = len(left_AF)
        out = [
            torch.empty_like(part) if needed else None
            for part, needed in zip((left_AF, right_BF), ctx.needs_input_grad, strict=True)
        ]
        for block in _blocks(left_AF.shape[1]):
            rows = _centred(left_AF, right_BF, block)
            for part, drawn in zip(out, (pull[:count], pull[count:]), strict=True):
                if part is not None:
                    part[:, block] = drawn @ rows
        return out[0], out[1]


def _blocks(length: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, length, _BLOCK)]


def _centred(left_AF: Tensor, right_BF: Tensor, block: slice) -> Tensor:
    rows = torch.cat([left_AF[:, block], right_BF[:, block]]).float()
    return rows - rows.mean(0)


def squared_distances(left_AF: Tensor, right_BF: Tensor) -> Tensor:
    """Squared distances among all rows of both, (A + B) x (A + B), in float64 where the device has it."""
    distances: Tensor = _SquaredDistances.apply(left_AF, right_BF)
    return distances


def mmd_of_maps(student_BF: Tensor, teacher_BF: Tensor) -> Tensor:
    """Each map is one sample, the batch is the set: E2SAM's `MMD` with its one Gaussian kernel.

    It compares sets: which student belongs to which teacher does not matter to it. Of one map against one it is
    2 - 2/e whatever they hold, and teaches nothing.
    """
    if len(student_BF) < 2:
        raise SettingsError(
            "MMD over whole maps compares a batch with a batch, and this one holds a single map: its value would be "
            "2 - 2/e whatever the student does. Use a batch of at least 2, or match: mmd_token or mse."
        )
    return _whole_mmd(student_BF, teacher_BF)


def _whole_mmd(student_BF: Tensor, teacher_BF: Tensor) -> Tensor:
    distances, count = squared_distances(student_BF, teacher_BF), len(student_BF)
    n = len(distances)
    kernel = torch.exp(-distances / _width(distances.detach().sum() / (n * n - n)))
    within = kernel[:count, :count].mean() + kernel[count:, count:].mean()
    return (within - kernel[:count, count:].mean() - kernel[count:, :count].mean()).float()


def _width(mean_distance: Tensor) -> Tensor:
    """A kernel's width; any will do where all samples are equal, as long as it divides."""
    return torch.where(mean_distance > 0, mean_distance, 1.0)


def mmd_of_tokens(student_BTE: Tensor, teacher_BTE: Tensor, *, most: int = 1024, rows: int = _ROWS) -> Tensor:
    """Each token is a sample, each image a set of at most `most` of them, at the same places in both; several widths.

    Of the kernel matrix of an image, (2 * most)² numbers at most, `rows` rows exist at a time.
    """
    step = -(-student_BTE.shape[1] // most)
    pairs = zip(student_BTE[:, ::step].float(), teacher_BTE[:, ::step].float(), strict=True)
    return torch.stack([_token_mmd(student_TE, teacher_TE, rows) for student_TE, teacher_TE in pairs]).mean()


def _token_mmd(student_TE: Tensor, teacher_TE: Tensor, rows: int) -> Tensor:
    samples = torch.cat([student_TE, teacher_TE])
    samples = samples - samples.detach().mean(0)
    count, n = len(student_TE), len(samples)
    sign = torch.cat([samples.new_ones(count), -samples.new_ones(n - count)]) / count
    # The sum of all squared distances follows from the norms alone, because the samples are centred.
    width = _width(2 * n * samples.detach().square().sum() / (n * n - n))
    total = samples.new_zeros(())
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        total = total + checkpoint(_kernel_sum, samples[part], samples, sign[part], sign, width, use_reentrant=False)
    return total


def _kernel_sum(part: Tensor, samples: Tensor, sign_of_part: Tensor, sign: Tensor, width: Tensor) -> Tensor:
    """The share of some rows in sign' * kernel * sign, averaged over the widths."""
    distances = part.square().sum(1)[:, None] + samples.square().sum(1) - 2 * part @ samples.T
    distances = distances.clamp(min=0)
    kernel = sum(
        (torch.exp(-distances / (width * factor)) for factor in _BANDWIDTHS), start=torch.zeros_like(distances)
    )
    return sign_of_part @ (kernel @ sign) / len(_BANDWIDTHS)
