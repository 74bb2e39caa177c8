"""Attention by PyTorch's flex kernel, which adds the position bias to each score as it is made: for GPUs."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sensam.errors import SettingsError


def attend_flex(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compiled on a GPU; elsewhere PyTorch's own slow rendering of the same definition, to check against."""
    if query_BRTd.device.type == "cpu" and torch.is_grad_enabled() and query_BRTd.requires_grad:
        raise SettingsError("Attention 'flex' cannot train on a CPU, PyTorch has no backward for it: use 'auto'.")
    from torch.nn.attention.flex_attention import flex_attention  # more than a second, which the other paths save

    w = columns.shape[-1]

    def add_bias(score: Tensor, image: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + rows[image, head, query, key // w] + columns[image, head, query, key % w]

    tensors = (query_BRTd, key_BRSd, value_BRSd)
    out: Any
    if torch.compiler.is_compiling():
        out = flex_attention(*tensors, score_mod=add_bias)
    elif query_BRTd.is_cuda:
        out = _compiled(flex_attention)(*tensors, score_mod=add_bias)
    else:
        with warnings.catch_warnings():  # which say that this is slow
            warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
            out = flex_attention(*tensors, score_mod=add_bias)
    assert isinstance(out, Tensor)  # flex answers with more only when asked to
    return out


@cache
def _compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = torch.compile(kernel)
    return compiled
