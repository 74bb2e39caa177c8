"""Prediction consistency: neighbouring windows agree where they overlap, and the assistant stays near what it was."""

from typing import Literal

import torch
from torch import Tensor

from sensam.data.plan import ViewPlan

TINY = 1e-8

Divergence = Literal["js", "kl", "mse"]


def consistency_loss(
    prob_BKChw: Tensor,
    plan: ViewPlan,
    *,
    divergence: Divergence = "js",
    valid_BKhw: Tensor | None = None,
) -> Tensor:
    """Mean over neighbours, the pair around the seam included, of how much they differ; pixels count by their area."""
    terms = []
    for shared in plan.overlaps():
        ours, theirs = shared.sides(prob_BKChw)
        weight = shared.area.to(ours).expand(ours[:, 0].shape)
        if valid_BKhw is not None:
            for valid in shared.sides(valid_BKhw[:, :, None].to(ours)):
                weight = weight * valid[:, 0]
        apart = _apart(ours, theirs, divergence)
        terms.append((apart * weight).sum() / weight.sum().clamp(min=TINY))
    return torch.stack(terms).mean() if terms else prob_BKChw.sum() * 0


def anchor_loss(log_prob_BKChw: Tensor, frozen_BKChw: Tensor, counts_BKhw: Tensor) -> Tensor:
    """Mean KL from the assistant as it came to the assistant as it is, over the pixels that count."""
    apart_BKhw = divergence_to(log_prob_BKChw, frozen_BKChw, dim=2)
    counts = counts_BKhw.to(apart_BKhw)
    return (apart_BKhw * counts).sum() / counts.sum().clamp(min=1)


def divergence_to(log_prob: Tensor, target: Tensor, dim: int) -> Tensor:
    """KL(target || prob) at every pixel, exactly 0 where both are the same."""
    return (torch.special.xlogy(target, target) - target * log_prob).sum(dim).clamp(min=0)


def _apart(p_BChw: Tensor, q_BChw: Tensor, divergence: Divergence) -> Tensor:
    """B x h x w, symmetric in its two sides and 0 where they are equal."""
    if divergence == "mse":
        return ((p_BChw - q_BChw) ** 2).mean(1)
    p, q = p_BChw.clamp(min=TINY), q_BChw.clamp(min=TINY)
    if divergence == "kl":  # each side is once the target, and then gets no gradient
        first = (p.detach() * (p.detach().log() - q.log())).sum(1)
        return 0.5 * (first + (q.detach() * (q.detach().log() - p.log())).sum(1))
    log_middle = ((p + q) / 2).log()
    return 0.5 * ((p * (p.log() - log_middle)).sum(1) + (q * (q.log() - log_middle)).sum(1))
