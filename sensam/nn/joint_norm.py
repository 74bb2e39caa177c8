"""Batch norm over the batches of all processes together, on any device: many processes then learn what one would."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004 - torch passes it
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004 - torch passes it
        total = grad.clone()
        dist.all_reduce(total)
        return total


class JointBatchNorm(nn.modules.batchnorm._BatchNorm):
    """In training, statistics over every process; torch's own synchronised norm works on GPUs only."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected a batch of at least 2 axes, found {input.ndim}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        wide = x.float()
        count = x.new_tensor([x.numel() / x.shape[1]], dtype=torch.float32)
        sums: Tensor = _Sum.apply(torch.cat([wide.sum(axes), count]))
        total, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = wide - mean.view(shape)
        squares: Tensor = _Sum.apply(centred.square().sum(axes))
        variance = squares / total
        self._remember(mean.detach(), variance.detach() * total / (total - 1).clamp(min=1))
        normed = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normed = normed * self.weight.view(shape) + self.bias.view(shape)
        return normed.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        weight = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        self.running_var.lerp_(variance.to(self.running_var.dtype), weight)


def join_norms(module: nn.Module) -> None:
    """Let every batch norm count all processes. Parameters, buffers and names stay what and where they are."""
    for part in module.modules():
        if type(part) in _KINDS:
            part.__class__ = JointBatchNorm
