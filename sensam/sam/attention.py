"""Attention with SAM's decomposed relative positions, by several exact paths."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attend_explicit(query_BRTd: Tensor, key_BRTd: Tensor, value_BRTd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The definition: every score with its bias in memory. The reference for all other paths.

    `rows` is B x R x T x h: what a query adds for a key in each row; `columns` is B x R x T x w.
    """
    scores = (query_BRTd * query_BRTd.shape[-1] ** -0.5) @ key_BRTd.transpose(-2, -1)
    bias = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
    return (scores + bias).softmax(-1) @ value_BRTd


def attend_fused(query_BRTd: Tensor, key_BRTd: Tensor, value_BRTd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The bias as part of the dot product, so that a fused kernel needs no score matrix.

    A query's bias for a key in row i, column j is rows[i] + columns[j]: the dot product of [rows, columns] with the
    key's row and column as one-hot codes. Appending both to query and key is exact.
    """
    h, w, d = rows.shape[-1], columns.shape[-1], query_BRTd.shape[-1]
    place = torch.arange(h * w, device=query_BRTd.device)
    code = torch.cat([F.one_hot(place // w, h), F.one_hot(place % w, w)], -1).to(query_BRTd.dtype)
    code = code.expand(*key_BRTd.shape[:2], -1, -1)
    query = torch.cat([query_BRTd * d**-0.5, rows, columns], -1)
    key = torch.cat([key_BRTd, code], -1)
    value = F.pad(value_BRTd, (0, h + w))  # the fused kernels on CPU want keys and values of one width
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :d]
