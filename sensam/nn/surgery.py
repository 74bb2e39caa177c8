"""Which parameters of a module move: chosen by patterns over their names, everything else frozen and in eval mode."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn

from sensam.errors import SettingsError


def choose(names: Iterable[str], rates: Mapping[str, float]) -> dict[str, float]:
    """The names that a pattern fits, with the factor of the first that does. A pattern that fits none is an error."""
    chosen: dict[str, float] = {}
    used: set[str] = set()
    for name in names:
        fitting = [pattern for pattern in rates if fnmatchcase(name, pattern)]
        used.update(fitting)
        if fitting:
            chosen[name] = rates[fitting[0]]
    idle = [pattern for pattern in rates if pattern not in used]
    if idle:
        raise SettingsError(f"No parameter is named like {', '.join(map(repr, idle))}: nothing there could learn.")
    return chosen


def freeze_all_but(module: nn.Module, rates: Mapping[str, float]) -> dict[str, float]:
    """Let only the chosen parameters learn; returns them by name with their factor on the learning rate.

    A factor of 0 freezes too, so that a stage can except a part from a wider pattern that follows.
    """
    chosen = choose((name for name, _ in module.named_parameters()), rates)
    moving = {name: factor for name, factor in chosen.items() if factor > 0}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in moving)
        if name not in moving:
            parameter.grad = None
    settle(module)
    return moving


def settle(module: nn.Module) -> None:
    """Put every part in which nothing learns into eval mode, so that its batch norms and dropouts rest as well."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        settle(child)
