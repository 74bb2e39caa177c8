"""A module with a part added to it, and the way back to the module alone, bit for bit."""

from typing import TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class Wrapped(nn.Module):
    """`host` as it was, and a `part` that changes what it answers; subclasses say how."""

    def __init__(self, host: nn.Module, part: nn.Module) -> None:
        super().__init__()
        self.host, self.part = host, part


def wrapped_in(model: nn.Module) -> dict[str, Wrapped]:
    """Every wrapped module, by its name in the model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Wrapped)}


def unwrap(model: Model) -> Model:
    """Put every host back where its wrapper stands. The parts are gone; what was there before is untouched."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Wrapped):
                setattr(parent, name, _innermost(child))
    return model


def _innermost(module: nn.Module) -> nn.Module:
    while isinstance(module, Wrapped):
        module = module.host
    return module
