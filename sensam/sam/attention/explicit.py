"""The definition of attention with SAM's decomposed relative positions, every score in memory."""

from torch import Tensor


def attend_explicit(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The reference for all other paths.

    The S keys lie on a grid of h x w places. `rows` (B x R x T x h) is what a query adds to its score with every key
    of a row, `columns` (B x R x T x w) with every key of a column.
    """
    scores_BRTS = (query_BRTd * query_BRTd.shape[-1] ** -0.5) @ key_BRSd.transpose(-2, -1)
    bias_BRTS = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
    return (scores_BRTS + bias_BRTS).softmax(-1) @ value_BRSd
