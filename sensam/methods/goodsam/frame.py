"""One frame for a panorama however it was rolled or mirrored, so that what is known of it is computed once."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frame:
    """How an image lies in its own frame: mirrored or not, and which column comes first there."""

    first: int
    is_mirrored: bool
    key: str  # hash of the pixels in that frame: the same for every pose of a panorama

    def settle(self, tensor: Tensor) -> Tensor:
        """From the image's columns (the last axis) to those of the frame."""
        return (tensor.flip(-1) if self.is_mirrored else tensor).roll(-self.first, -1)

    def restore(self, tensor: Tensor) -> Tensor:
        """Back from the frame to the image."""
        rolled = tensor.roll(self.first, -1)
        return rolled.flip(-1) if self.is_mirrored else rolled


def find_frame(image_CHW: Tensor, valid_HW: Tensor, *, wraps: bool) -> Frame:
    """The frame in which every roll (of what wraps) and mirror image of a panorama are the same pixels.

    Augmentation rolls and mirrors panoramas, always differently: by the pixels alone no cache would ever be hit.
    """
    planes_CHW = torch.cat([image_CHW, valid_HW[None].to(image_CHW)]).detach().cpu().contiguous().numpy()
    ahead = _hash_columns(planes_CHW)
    back = ahead[::-1]
    starts = [_least_rotation(ahead), _least_rotation(back)] if wraps else [0, 0]
    turned = [np.roll(ahead, -starts[0]), np.roll(back, -starts[1])]
    is_mirrored = tuple(turned[1]) < tuple(turned[0])
    first = starts[int(is_mirrored)]
    settled_CHW = np.roll(planes_CHW[..., ::-1] if is_mirrored else planes_CHW, -first, -1)
    digest = hashlib.sha256(repr(settled_CHW.shape).encode())
    digest.update(np.ascontiguousarray(settled_CHW).data)
    return Frame(first, is_mirrored, digest.hexdigest())


def _hash_columns(planes_CHW: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A number for each column, from the bits of its pixels."""
    bits_nW = planes_CHW.view(np.uint32).reshape(-1, planes_CHW.shape[-1]).astype(np.uint64)
    return np.asarray((bits_nW * _odd_numbers(len(bits_nW))[:, None]).sum(0, dtype=np.uint64))


@lru_cache(maxsize=4)
def _odd_numbers(count: int) -> NDArray[np.uint64]:
    drawn = np.random.default_rng(360).integers(0, 2**64, count, dtype=np.uint64)
    return drawn | np.uint64(1)


def _least_rotation(numbers: NDArray[np.uint64]) -> int:
    """Where to begin so that the sequence, read around, comes first of all rotations (Booth's algorithm)."""
    values = numbers.tolist()
    count = len(values)
    left, right, same = 0, 1, 0
    while left < count and right < count and same < count:
        ours, theirs = values[(left + same) % count], values[(right + same) % count]
        if ours == theirs:
            same += 1
            continue
        if ours > theirs:
            left += same + 1
        else:
            right += same + 1
        right += left == right
        same = 0
    return min(left, right)
