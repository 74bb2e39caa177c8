"""Which parameters are matrices between hidden layers: what Muon moves."""

from torch import nn

OUTER = ("pos", "embed", "token")  # tables and first layers, whose rows are not directions of one space


def is_hidden(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is such a matrix, by its shape and its name."""
    return parameter.ndim == 2 and not any(word in name for word in OUTER)
