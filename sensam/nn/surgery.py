"""Which parameters of a module move: chosen by patterns over their names, everything else frozen and in eval mode."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

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
    if _rests(module):
        module.training = False  # not by eval(), which a method answers by settling itself
    for child in module.children():
        if _rests(child):
            child.eval()
        else:
            settle(child)


def _rests(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def holdings(module: nn.Module, trained: Collection[str]) -> dict[str, Tensor]:
    """What training changes, by name: the trained parameters that are there, and the buffers that move with them.

    A buffer moves unless it lies in a part that `settle` puts to rest: one with parameters of which none is trained.
    """
    held: dict[str, Tensor] = {name: tensor for name, tensor in module.named_parameters() if name in trained}
    moving = {prefix for name in held for prefix in _prefixes(name)}
    resting = {
        prefix
        for name, _ in module.named_parameters()
        for prefix in _prefixes(name)
        if prefix not in moving  # an owner of parameters, and none of them is trained
    }
    persistent = module.state_dict(keep_vars=True)
    for name, buffer in module.named_buffers():
        if held and name in persistent and not resting.intersection(_prefixes(name)):
            held[name] = buffer
    return held


def _prefixes(name: str) -> list[str]:
    """The modules that a tensor lies in: `a.b.weight` in `a.b` and `a`."""
    parts = name.split(".")[:-1]
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def has_part(module: nn.Module, child: str) -> bool:
    """Whether a child of this dotted name is there."""
    return any(name == child for name, _ in module.named_modules())


def remove(module: nn.Module, child: str) -> None:
    """Take a child out of a module, by its dotted name."""
    if not has_part(module, child):
        raise SettingsError(f"{type(module).__name__} has no part named {child!r} to discard.")
    parent, _, name = child.rpartition(".")
    delattr(module.get_submodule(parent), name)
