"""Attention whose position bias is part of the dot product: no score ever needs a bias added."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_folded(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Two plain matrix products around a softmax; the scores of all queries are in memory."""
    query, key = fold(query_BRTd, key_BRSd, rows, columns)
    return (query @ key.transpose(-2, -1)).softmax(-1) @ value_BRSd


def attend_fused(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """PyTorch's fused kernel: no scores in memory, forward or backward."""
    query, key = fold(query_BRTd, key_BRSd, rows, columns)
    d, width = value_BRSd.shape[-1], query.shape[-1]
    width += -width % 8  # CUDA's kernels want multiples of 8, and keys and values of one width
    query, key, value = (F.pad(x, (0, width - x.shape[-1])) for x in (query, key, value_BRSd))
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :d]


def fold(query_BRTd: Tensor, key_BRSd: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Longer queries and keys whose dot product is the scaled score with its bias.

    The bias of a key in row i, column j is rows[i] + columns[j]: the dot product of [rows, columns] with the key's row
    and column as one-hot codes.
    """
    h, w = rows.shape[-1], columns.shape[-1]
    row_Sh = torch.eye(h, dtype=key_BRSd.dtype, device=key_BRSd.device).repeat_interleave(w, 0)
    column_Sw = torch.eye(w, dtype=key_BRSd.dtype, device=key_BRSd.device).repeat(h, 1)
    code = torch.cat([row_Sh, column_Sw], -1).expand(*key_BRSd.shape[:-1], -1)
    scaled = query_BRTd * query_BRTd.shape[-1] ** -0.5
    return torch.cat([scaled, rows, columns], -1), torch.cat([key_BRSd, code], -1)
