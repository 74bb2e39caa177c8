"""What the optimiser moves: every parameter that learns exactly once, at its rate, decaying or not."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

POSITIONS = ("pos_", "position", "rel_pos", "relative_position")  # tables whose numbers mean places


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay makes sense: for what multiplies, not for norms, biases and tables of positions."""
    return parameter.ndim > 1 and not any(part.startswith(POSITIONS) for part in name.split("."))


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    factors: Mapping[str, float],
    *,
    weight_decay: float,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """Groups for an optimiser, one for each factor on the rate and kind of decay; `names` tells what is in them."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in parameters:
        if name not in factors:
            continue
        decay = weight_decay if decay_all or decays(name, parameter) else 0.0
        key = factors[name], decay
        group = groups.setdefault(key, {"params": [], "names": [], "factor": key[0], "weight_decay": decay})
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())
