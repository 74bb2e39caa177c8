"""The optimisers of a stage: AdamW for everything, or Muon for the matrices of hidden layers beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from sensam.config import TrainSettings
from sensam.errors import SettingsError
from sensam.sam.hidden import is_hidden


def build_optimisers(
    groups: Sequence[Mapping[str, Any]], settings: TrainSettings, *, fused: bool
) -> tuple[Optimizer, ...]:
    """Every parameter of the groups in exactly one optimiser; groups keep their names, factors and decay.

    Muon's steps are scaled to be as long as AdamW's, so that one rate serves both.
    """
    if settings.optimiser == "adamw":
        return (AdamW([dict(group) for group in groups], lr=settings.rate, betas=settings.betas, fused=fused),)
    if not hasattr(torch.optim, "Muon"):
        raise SettingsError(f"optimiser: muon needs torch 2.9 or newer, found {torch.__version__}. Use adamw.")
    hidden, others = _part(groups, hidden=True), _part(groups, hidden=False)
    muon = [torch.optim.Muon(hidden, lr=settings.rate, adjust_lr_fn="match_rms_adamw")] if hidden else []
    adamw = [AdamW(others, lr=settings.rate, betas=settings.betas, fused=fused)] if others else []
    return *muon, *adamw


def _part(groups: Sequence[Mapping[str, Any]], *, hidden: bool) -> list[dict[str, Any]]:
    parts = []
    for group in groups:
        pairs = zip(group["names"], group["params"], strict=True)
        kept = [(name, parameter) for name, parameter in pairs if is_hidden(name, parameter) == hidden]
        if kept:
            names, parameters = zip(*kept, strict=True)
            parts.append({**group, "names": list(names), "params": list(parameters)})
    return parts
