"""Attention to a grid of keys and to further keys without a place, as learned prompts are."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sensam.sam.attention.explicit import attend_explicit
from sensam.sam.attention.folded import fold

MoreKeys = tuple[Tensor, Tensor]  # keys and values, R x P x d


class Attends(Protocol):
    """A path of attention (`sensam.sam.attention.Attend`)."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, rows: Tensor, columns: Tensor, /) -> Tensor: ...


def attend_beside(
    path: Attends,
    more: MoreKeys,
    query_BRTd: Tensor,
    key_BRSd: Tensor,
    value_BRSd: Tensor,
    rows: Tensor,
    columns: Tensor,
) -> Tensor:
    """No bias for the keys without a place. Exact on every path; only "explicit" keeps every score in memory."""
    B, d = key_BRSd.shape[0], query_BRTd.shape[-1]  # len() would be the number that a tracer saw
    more_key, more_value = (part.to(key_BRSd.dtype).expand(B, -1, -1, -1) for part in more)
    value = torch.cat([value_BRSd, more_value], -2)
    if path is attend_explicit:
        bias_BRTS = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
        scores = query_BRTd * d**-0.5 @ torch.cat([key_BRSd, more_key], -2).transpose(-2, -1)
        return (scores + F.pad(bias_BRTS, (0, more_key.shape[-2]))).softmax(-1) @ value
    query, key = fold(query_BRTd, key_BRSd, rows, columns)
    key = torch.cat([key, F.pad(more_key, (0, key.shape[-1] - d))], -2)
    if query.shape[-1] < 2 * d and not query.is_cuda:  # a window: its scores are few
        return (query @ key.transpose(-2, -1)).softmax(-1) @ value
    width = query.shape[-1] + -query.shape[-1] % 8  # CUDA's kernels want multiples of 8, and one width for all
    query, key, value = (F.pad(x, (0, width - x.shape[-1])) for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :d]
