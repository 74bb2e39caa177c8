"""The same frozen weights in several models at once, in memory only once."""

from copy import deepcopy
from typing import Any, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def share_frozen(module: Module) -> Module:
    """A copy whose weights lie in the memory of the first and do not learn.

    Modules, modes and flags are its own: what is wrapped, frozen or put into eval mode in one does not reach the other.
    Whoever lets a weight of it learn must give that weight memory of its own first.
    """
    shared: dict[int, Any] = {}
    for parameter in module.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    for buffer in module.buffers():
        shared[id(buffer)] = buffer
    return deepcopy(module, shared)
