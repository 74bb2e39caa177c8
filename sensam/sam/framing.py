"""How an image of any size comes before SAM's encoder, and how clicks go there and masks come back."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from sensam.errors import InputError, SettingsError
from sensam.sam.model import Sam

# SAM's statistics of photographs, in 8-bit numbers.
PHOTO_MEAN = (123.675, 116.28, 103.53)
PHOTO_STD = (58.395, 57.12, 57.375)
LOGITS_AT_ONCE = 2**24  # full-resolution logits in memory at a time: 64 MB, whatever the image and the batch


@dataclass(frozen=True, slots=True)
class Frame:
    """One image on its way to the encoder: its own size, the size it is scaled to, and that size with padding."""

    native: tuple[int, int]
    scaled: tuple[int, int]
    encoded: tuple[int, int]

    @property
    def at_once(self) -> int:
        """How many masks to restore together."""
        return max(1, LOGITS_AT_ONCE // max(math.prod(self.native), math.prod(self.encoded)))

    def fill(self, image_CHW: Tensor) -> Tensor:
        """The image as the encoder wants it, 1 x C x H x W, padded below and to the right with zeros (the mean).

        8-bit numbers are a photograph: scaled as 8-bit numbers, as SAM does, then normalised by SAM's statistics.
        Floating-point numbers are normalised already.
        """
        if self.scaled != self.native:
            image_CHW = resize(image_CHW, list(self.scaled), antialias=True)
        if image_CHW.dtype == torch.uint8:
            mean, std = (image_CHW.new_tensor(v, dtype=torch.float32)[:, None, None] for v in (PHOTO_MEAN, PHOTO_STD))
            image_CHW = (image_CHW - mean) / std
        (height, width), (rows, columns) = self.encoded, self.scaled
        return F.pad(image_CHW, (0, width - columns, 0, height - rows))[None]

    def place(self, xy: Tensor) -> Tensor:
        """Native pixel coordinates (... x 2) among the encoded pixels, by SAM's rule: multiplied by the scale."""
        scale = [self.scaled[1] / self.native[1], self.scaled[0] / self.native[0]]
        return xy * xy.new_tensor(scale)

    def restore(self, sam: Sam, logits_NMhw: Tensor) -> Tensor:
        """Low-resolution logits at native pixels."""
        logits = sam.enlarge(logits_NMhw.float(), self.scaled)
        if self.scaled == self.native:
            return logits
        return F.interpolate(logits, self.native, mode="bilinear", align_corners=False)


@dataclass(frozen=True, slots=True)
class Fit:
    """The rule that frames an image. `Fit()` is SAM's own: the longest side as in training, padded to a square.

    Without `square` the encoder sees no padding, which costs less on elongated images; but its position tables are
    then stretched over the rectangle, which SAM's weights never saw. nano learnt on bare rectangles and finds more in
    them. Without `resize` pixels stay as they are.
    """

    longest_side: int | None = None  # None: the size the weights were trained at
    resize: bool = True
    square: bool = True

    def __post_init__(self) -> None:
        if self.longest_side is not None and not self.resize:
            raise SettingsError(f"longest_side={self.longest_side} has no effect with resize=False. Give one of them.")
        if self.longest_side is not None and self.longest_side < 1:
            raise SettingsError(f"longest_side is a number of pixels, found {self.longest_side}.")

    def frame(self, native: tuple[int, int], trained: int) -> Frame:
        """The frame of an image of this size before an encoder trained at that size."""
        if min(native) < 1:
            raise InputError(f"The image is empty: {native[0]} x {native[1]} pixels.")
        longest = max(native)
        goal = (self.longest_side or trained) if self.resize else longest
        rows, columns = (max(1, int(side * goal / longest + 0.5)) for side in native)
        return Frame(native, (rows, columns), (goal, goal) if self.square else (rows, columns))


@dataclass(frozen=True, slots=True)
class Embedded:
    """An image as the mask decoder sees it, and where its pixels lie."""

    embedding_1Ehw: Tensor
    frame: Frame


@torch.no_grad()
def embed(sam: Sam, image_CHW: Tensor, fit: Fit) -> Embedded:
    """Run the encoder on one image: 8-bit photograph or normalised bands."""
    _check_image(image_CHW, sam.anatomy.bands)
    frame = fit.frame((image_CHW.shape[-2], image_CHW.shape[-1]), sam.anatomy.image_size)
    weight = sam.shared_image_embedding.positional_embedding
    pixels_1CHW = frame.fill(image_CHW.to(weight.device))
    return Embedded(sam.encode(pixels_1CHW.to(weight.dtype)), frame)


def _check_image(image_CHW: Tensor, bands: int) -> None:
    if image_CHW.ndim != 3 or image_CHW.shape[0] != bands:
        raise InputError(
            f"The encoder takes {bands} bands x rows x columns, found an image of shape {tuple(image_CHW.shape)}. "
            "Choose bands, or build the encoder for as many."
        )
    if image_CHW.dtype == torch.uint8 and bands != 3:
        raise InputError(f"Only RGB photographs come as uint8, found {bands} bands. Normalise them first.")
    if image_CHW.is_floating_point() and not image_CHW.isfinite().all():
        raise InputError("The image has NaN or infinite pixels. Put 0, the mean, where it has no data.")
