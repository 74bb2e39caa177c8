"""Attention with SAM's decomposed relative positions: one definition, several exact paths to it, and which to take."""

from collections.abc import Callable

import torch
from torch import Tensor

from sensam.errors import unknown
from sensam.sam.attention.chunked import attend_chunked
from sensam.sam.attention.explicit import attend_explicit
from sensam.sam.attention.flex import attend_flex
from sensam.sam.attention.folded import attend_folded, attend_fused

Attend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def attend_auto(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The fastest path for these tensors."""
    return _fastest(query_BRTd, rows, columns)(query_BRTd, key_BRSd, value_BRSd, rows, columns)


PATHS: dict[str, Attend] = {
    "auto": attend_auto,
    "explicit": attend_explicit,
    "folded": attend_folded,
    "fused": attend_fused,
    "chunked": attend_chunked,
    "flex": attend_flex,
}


def attention_path(name: str) -> Attend:
    """The path of this name."""
    if name not in PATHS:
        raise unknown("attention path", name, PATHS)
    return PATHS[name]


def _fastest(query: Tensor, rows: Tensor, columns: Tensor) -> Attend:
    """Folded into the dot product a bias costs h + w more columns: little in a window, too much over a whole image.

    On CPUs the fused kernel is 3 times slower than plain products in bfloat16, and flex slower still.
    """
    narrow = rows.shape[-1] + columns.shape[-1] < query.shape[-1]
    if not query.is_cuda:
        return attend_folded if narrow else attend_chunked
    # Flex sums the gradients of the bias by one atomic addition a score: not for training.
    return attend_fused if narrow or torch.is_grad_enabled() else attend_flex
