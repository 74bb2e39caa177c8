"""What a map is made of: class numbers, and as small integers how sure they are, how unsure, or all probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Storage = Literal["uint8", "uint16"]
Extra = Literal["confidence", "entropy", "probabilities"]
EXTRAS: tuple[Extra, ...] = ("confidence", "entropy", "probabilities")


@dataclass(frozen=True, slots=True)
class Product:
    """One output file: its planes, its type, and what its numbers times `scale` mean."""

    name: str  # "classes" or one of EXTRAS
    planes: tuple[str, ...]
    dtype: str
    nodata: int
    scale: float
    make: Callable[[NDArray[np.float32]], NDArray[Any]]  # probabilities K x H x W -> planes x H x W

    def of(self, probability_KHW: NDArray[np.float32], valid_HW: NDArray[np.bool_]) -> NDArray[Any]:
        """Stored numbers, nodata where the input had no data."""
        planes = self.make(probability_KHW)
        if not valid_HW.all():
            planes[:, ~valid_HW] = self.nodata
        return planes


def products(classes: Sequence[str], extras: Sequence[Extra], storage: Storage, ignore: int) -> tuple[Product, ...]:
    """The class map, and what was asked for besides."""
    dtype = "uint8" if len(classes) < 256 else "uint16"
    top = int(np.iinfo(dtype).max)
    nodata = ignore if len(classes) <= ignore <= top else top

    def number(probability_KHW: NDArray[np.float32]) -> NDArray[Any]:
        return probability_KHW.argmax(axis=0).astype(dtype)[None]

    # The highest number of the type is nodata; the one below is 1.
    full = int(np.iinfo(storage).max) - 1
    rounding: Mapping[str, tuple[tuple[str, ...], Callable[[NDArray[np.float32]], NDArray[np.float32]]]] = {
        "confidence": (("confidence",), lambda p: p.max(axis=0, keepdims=True)),
        "entropy": (("entropy",), entropy),
        "probabilities": (tuple(classes), lambda p: p),
    }
    made = [Product("classes", ("class",), dtype, nodata, 1.0, number)]
    for extra in extras:
        planes, find = rounding[extra]
        made.append(Product(extra, planes, storage, full + 1, 1 / full, _rounded(find, full, storage)))
    return tuple(made)


def _rounded(
    find: Callable[[NDArray[np.float32]], NDArray[np.float32]], full: int, storage: str
) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    return lambda probability_KHW: np.rint(find(probability_KHW).clip(0, 1) * np.float32(full)).astype(storage)


def entropy(probability_KHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """How undecided, 1 x H x W: 0 where one class has everything, 1 where all have the same."""
    count = len(probability_KHW)
    if count < 2:
        return np.zeros((1, *probability_KHW.shape[1:]), np.float32)
    surprise = -np.log(np.maximum(probability_KHW, np.float32(1e-12)))
    found: NDArray[np.float32] = (probability_KHW * surprise).sum(axis=0, keepdims=True) / np.float32(np.log(count))
    return found
