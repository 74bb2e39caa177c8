"""The values that travel between parts, and the legend of shape letters.

A tensor whose shape matters carries it in its name: `image_BCHW`, `logits_BKHW`.

    B  images in a batch          H W  rows and columns of pixels
    C  bands of the sensor        h w  rows and columns of tokens (H / patch, W / patch)
    K  classes                    D    width of a token
    N  prompts on one image       P    points in one prompt
    M  masks per prompt           E    width of SAM's image embedding (256; nano 128)
    T  tokens in a sequence       R    heads of an attention
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sensam.errors import InputError

RANDOM_VIEW = "random"  # the view of a sample that will not come again


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples on their way to a model: normalised pixels, what of them is real, and labels if there are any."""

    image_BCHW: Tensor  # float32, normalised; exactly 0 (the mean) where not valid
    valid_BHW: Tensor  # bool; False where any band has no data
    label_BHW: Tensor | None  # int64 class index; the ignore value where unlabelled or not valid
    keys: tuple[str, ...]  # which sample each row is, as the data set names it
    views: tuple[str, ...] = ()  # which window and pose of it, or RANDOM_VIEW

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        label = None if self.label_BHW is None else self.label_BHW.to(device, non_blocking=True)
        return replace(
            self,
            image_BCHW=self.image_BCHW.to(device, non_blocking=True),
            valid_BHW=self.valid_BHW.to(device, non_blocking=True),
            label_BHW=label,
        )

    def __len__(self) -> int:
        return self.image_BCHW.shape[0]


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts, in pixels of the image as it was encoded: x to the right, y down, (0, 0) the first pixel.

    A prompt is P points with labels (1 foreground, 0 background, -10 padding), or a box, or a low-resolution mask,
    or any of them together.
    """

    points_NP2: Tensor | None = None
    labels_NP: Tensor | None = None
    boxes_N4: Tensor | None = None  # x0, y0, x1, y1
    masks_N1HW: Tensor | None = None  # logits at SAM's low resolution

    def __post_init__(self) -> None:
        if (self.points_NP2 is None) != (self.labels_NP is None):
            raise InputError("Points and their labels come together: give both, or neither.")
        counts = {len(part) for part in self._parts()}
        if not counts or counts == {0}:
            raise InputError("No prompt was given. Give at least one point, box or mask.")
        if len(counts) > 1:
            raise InputError(f"Points, boxes and masks must count the same prompts; found {sorted(counts)}.")

    def _parts(self) -> list[Tensor]:
        return [part for part in (self.points_NP2, self.boxes_N4, self.masks_N1HW) if part is not None]

    def __len__(self) -> int:
        return len(self._parts()[0])
