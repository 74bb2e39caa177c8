"""Attention by PyTorch's flex kernel, which adds the position bias to each score as it is made: for GPUs."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from sensam.errors import SettingsError


def attend_flex(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compiled on a GPU; elsewhere PyTorch's own slow rendering of the same definition, to check against."""
    w = columns.shape[-1]

    def add_bias(score: Tensor, image: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + rows[image, head, query, key // w] + columns[image, head, query, key % w]

    inputs = (query_BRTd, key_BRSd, value_BRSd)
    if torch.is_grad_enabled() and query_BRTd.requires_grad and query_BRTd.device.type == "cpu":
        raise SettingsError("Attention 'flex' cannot train on a CPU, PyTorch has no backward for it: use 'auto'.")
    if torch.compiler.is_compiling():
        return _tensor(flex_attention(*inputs, score_mod=add_bias))
    if query_BRTd.is_cuda:
        return _tensor(_compiled()(*inputs, score_mod=add_bias))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        return _tensor(flex_attention(*inputs, score_mod=add_bias))


@cache
def _compiled() -> Callable[..., Any]:
    compiled: Callable[..., Any] = torch.compile(flex_attention)
    return compiled


def _tensor(out: Tensor | tuple[Tensor, ...]) -> Tensor:
    assert isinstance(out, Tensor)  # the other results come only when asked for
    return out
