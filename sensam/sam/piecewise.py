"""A function over an image's tokens, a few rows at a time: what it makes on the way stays in the processor's cache."""

from collections.abc import Callable

import torch
from torch import Tensor

TOKENS_AT_ONCE = 1024  # of the widest layer's results, about 12 MB in float32


def by_rows(function: Callable[[Tensor], Tensor], x_BhwD: Tensor, together: int = 1) -> Tensor:
    """`function(x)`, for a function that acts within every `together` rows of tokens.

    In pieces only in inference on a CPU: a backward pass keeps everything anyway, a GPU wants large steps, and
    a compiler one graph.
    """
    B, h, w, _ = x_BhwD.shape
    whole = torch.is_grad_enabled() or torch.compiler.is_compiling() or x_BhwD.device.type != "cpu"
    if whole or B * h * w <= TOKENS_AT_ONCE:
        return function(x_BhwD)
    images, rows = TOKENS_AT_ONCE // (h * w), h
    if images == 0:
        images, rows = 1, max(1, TOKENS_AT_ONCE // (w * together)) * together
    pieces = [(slice(i, i + images), slice(r, r + rows)) for i in range(0, B, images) for r in range(0, h, rows)]
    first = function(x_BhwD[pieces[0]])
    out = first.new_empty(B, h, w, first.shape[-1])
    out[pieces[0]] = first
    for piece in pieces[1:]:
        out[piece] = function(x_BhwD[piece])
    return out
