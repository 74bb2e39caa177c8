"""How images of other bands than an encoder's reach it: one band repeated, bands mixed, or patches for more bands."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RepeatBand(nn.Module):
    """One band as several that are equal: the same memory seen several times."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands

    def forward(self, image_B1HW: Tensor) -> Tensor:
        return image_B1HW.expand(-1, self.bands, -1, -1)


class AsPhotograph(nn.Module):
    """One band as the colours of a grey photograph, each normalised by statistics of its own."""

    def __init__(self, mean: float, std: float, colour_means: Sequence[float], colour_stds: Sequence[float]) -> None:
        super().__init__()
        means, stds = torch.tensor(colour_means), torch.tensor(colour_stds)
        self.gain: Tensor
        self.bias: Tensor
        self.register_buffer("gain", (std / stds)[:, None, None], persistent=False)
        self.register_buffer("bias", ((mean - means) / stds)[:, None, None], persistent=False)

    def forward(self, image_B1HW: Tensor) -> Tensor:
        """From numbers normalised by `mean` and `std`, which are in the unit of the colours' statistics."""
        return image_B1HW * self.gain + self.bias


def mix_bands(bands: int, mixed: int) -> nn.Conv2d:
    """A learnt weighting of bands in every pixel; each mixture starts as their mean."""
    stem = nn.Conv2d(bands, mixed, 1)
    nn.init.constant_(stem.weight, 1 / bands)
    assert stem.bias is not None
    nn.init.zeros_(stem.bias)
    return stem


def inflate_patches(projection: nn.Conv2d, bands: int) -> nn.Conv2d:
    """Patches for any number of bands; bands that are all the same grey make the tokens of that grey."""
    assert projection.bias is not None
    side = projection.kernel_size[0]
    wide = nn.Conv2d(bands, projection.out_channels, side, side)
    assert wide.bias is not None
    with torch.no_grad():
        wide.weight.copy_(projection.weight.sum(1, keepdim=True).expand_as(wide.weight) / bands)
        wide.bias.copy_(projection.bias)
    return wide
