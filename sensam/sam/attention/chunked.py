"""Attention in blocks through one reused scratch buffer: memory linear in the tokens, forward and backward."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sensam.sam.linear import multiply

# Scores in memory at once: few megabytes stay in a processor's cache, an accelerator wants few large steps.
SCRATCH = {"cpu": 2**20}
SCRATCH_ELSEWHERE = 2**26


def attend_chunked(query_BRTd: Tensor, key_BRSd: Tensor, value_BRSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Exact, and the backward computes the scores again instead of keeping them."""
    heads = (x.flatten(0, 1).contiguous() for x in (query_BRTd, key_BRSd, value_BRSd, rows, columns))
    out_GTd: Tensor = _attend(*heads)
    return out_GTd.unflatten(0, query_BRTd.shape[:2])


# As operators of their own the loops are one step to autograd and to torch.compile. G = images x heads.
@torch.library.custom_op("sensam::attend_in_blocks", mutates_args=())
def _attend(query_GTd: Tensor, key_GSd: Tensor, value_GSd: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    out, value_GdS = torch.empty_like(query_GTd), value_GSd.transpose(1, 2).contiguous()
    for heads, block, scratch in _blocks(query_GTd, key_GSd):
        q, r, c = query_GTd[heads, block], rows[heads, block], columns[heads, block]
        weights = _softmax_scores(q, key_GSd[heads], r, c, scratch)
        out[heads, block] = _product(weights, value_GdS[heads])
    return out


@torch.library.custom_op("sensam::attend_in_blocks_backward", mutates_args=())
def _attend_backward(
    grad_GTd: Tensor, query_GTd: Tensor, key_GSd: Tensor, value_GSd: Tensor, rows: Tensor, columns: Tensor, out: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    grad_GTd = grad_GTd.contiguous()
    scale = query_GTd.shape[-1] ** -0.5
    d_query, d_rows, d_columns = torch.empty_like(query_GTd), torch.empty_like(rows), torch.empty_like(columns)
    summed = torch.promote_types(key_GSd.dtype, torch.float32)  # over blocks, in which bfloat16 would drift away
    d_key, d_value = torch.zeros_like(key_GSd, dtype=summed), torch.zeros_like(value_GSd, dtype=summed)
    mean = (grad_GTd * out).sum(-1, keepdim=True)  # what softmax takes from the gradient of each of a query's scores
    for heads, block, scratch in _blocks(query_GTd, key_GSd):
        q, r, c, grad = query_GTd[heads, block], rows[heads, block], columns[heads, block], grad_GTd[heads, block]
        weights = _softmax_scores(q, key_GSd[heads], r, c, scratch)
        d_value[heads] += torch.bmm(weights.transpose(1, 2), grad)
        d_scores = torch.bmm(grad, value_GSd[heads].transpose(1, 2)).sub_(mean[heads, block]).mul_(weights)
        d_query[heads, block] = torch.bmm(d_scores, key_GSd[heads]).mul_(scale)
        d_key[heads] += torch.bmm(d_scores.transpose(1, 2), q)
        on_grid = d_scores.unflatten(-1, (rows.shape[-1], columns.shape[-1]))
        d_rows[heads, block], d_columns[heads, block] = on_grid.sum(-1), on_grid.sum(-2)
    return d_query, d_key.mul_(scale).to(key_GSd.dtype), d_value.to(value_GSd.dtype), d_rows, d_columns


def _softmax_scores(query: Tensor, key: Tensor, rows: Tensor, columns: Tensor, scratch: Tensor) -> Tensor:
    scores = scratch[: query.shape[0] * query.shape[1] * key.shape[1]].view(query.shape[0], query.shape[1], -1)
    on_grid = scores.view(*query.shape[:2], rows.shape[-1], columns.shape[-1])
    torch.add(rows[..., :, None], columns[..., None, :], out=on_grid)
    scale = query.shape[-1] ** -0.5
    if query.dtype == torch.float32:
        scores.add_(_product(query * scale, key))
    else:
        torch.baddbmm(scores, query, key.transpose(1, 2), alpha=scale, out=scores)
    return torch.softmax(scores, -1, out=scores)


def _product(left_GTK: Tensor, right_GMK: Tensor) -> Tensor:
    """G products T x M; that of a single head as a linear layer's, for which there is a faster way."""
    if len(left_GTK) == 1:
        return multiply(left_GTK[0], right_GMK[0])[None]
    return torch.bmm(left_GTK, right_GMK.transpose(1, 2))


def _blocks(query_GTd: Tensor, key_GSd: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Several heads at once where their scores fit into the scratch buffer, else part of the queries of one head."""
    (G, T, _), S = query_GTd.shape, key_GSd.shape[1]
    budget = SCRATCH.get(query_GTd.device.type, SCRATCH_ELSEWHERE)
    heads = min(G, max(1, budget // (T * S)))
    queries = min(T, max(1, budget // S))
    scratch = query_GTd.new_empty(heads * queries * S)
    for head in range(0, G, heads):
        for query in range(0, T, queries):
            yield slice(head, head + heads), slice(query, query + queries), scratch


@_attend.register_fake
def _(query_GTd: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(query_GTd)


@_attend_backward.register_fake
def _(_: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(x) for x in inputs[:5])


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs, output)


def _backward(ctx: Any, grad_GTd: Tensor) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _attend_backward(grad_GTd, *ctx.saved_tensors)
    return gradients


_attend.register_autograd(_backward, setup_context=_keep)
