"""Bands that go missing while a network learns, so that it can do without them later."""

from collections.abc import Sequence

import torch
from torch import Tensor


def drop_bands(image_BCHW: Tensor, share: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Every band of every image is set to 0 (its mean) with this probability, by the image's own generator.

    At least one band stays, whichever it is.
    """
    luck_BC = torch.stack([torch.rand(image_BCHW.shape[1], generator=generator) for generator in generators])
    kept_BC = (luck_BC >= share) | (luck_BC == luck_BC.amax(1, keepdim=True))
    return image_BCHW * kept_BC[..., None, None].to(image_BCHW)
