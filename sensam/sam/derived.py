"""Tensors made from weights (resampled, gathered, in another precision), kept in inference until the weights change."""

from collections.abc import Callable, Hashable
from typing import Any, Self

import torch
from torch import Tensor, nn

SIZES_KEPT = 4  # a scene is read in tiles of one size, and smaller ones at its edges


class Derived(nn.Module):
    """`make(weight, *how)`, remembered per `how` while gradients are off.

    A module without parameters, so that moving, converting or training its owner reaches it and empties it.
    """

    def __init__(self, make: Callable[..., Tensor]) -> None:
        super().__init__()
        self._make = make
        # The weight itself is held, not its id: an id is given again once its first owner is gone.
        self._source: tuple[Tensor | None, tuple[Hashable, ...]] = (None, ())
        self._kept: dict[tuple[Hashable, ...], Tensor] = {}

    def forward(self, weight: Tensor, *how: Hashable) -> Tensor:
        # A compiler must see the arithmetic, and a tensor made in inference mode does not count its changes.
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or weight.is_inference():
            return self._make(weight, *how)
        state = (weight._version, weight.data_ptr(), weight.dtype, weight.device)
        kept = self._kept
        if self._source[0] is not weight or self._source[1] != state:
            kept = {}
            self._source, self._kept = (weight, state), kept
        made = kept.get(how)
        if made is None:
            if len(kept) >= SIZES_KEPT:
                del kept[next(iter(kept))]
            made = kept[how] = self._make(weight, *how)
        return made

    def train(self, mode: bool = True) -> Self:
        self.forget()  # writing through `.data`, as older optimisers do, leaves no trace in the version
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.forget()
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped

    def __getstate__(self) -> dict[str, Any]:
        self.forget()  # a copy or a saved module makes its own
        return self.__dict__

    def forget(self) -> None:
        """Give back the memory of what was made."""
        self._source, self._kept = (None, ()), {}
