"""Other bands than the encoder's: repeated, mixed, inflated, or taken for a photograph."""

import torch
from torch import nn

from sensam.nn.band_stems import AsPhotograph, RepeatBand, inflate_patches, mix_bands


def test_a_repeated_band_takes_no_memory() -> None:
    image = torch.randn(2, 1, 4, 5)
    repeated = RepeatBand(3)(image)
    assert torch.equal(repeated, image.repeat(1, 3, 1, 1))
    assert repeated.data_ptr() == image.data_ptr()


def test_grey_as_a_photograph() -> None:
    grey = torch.tensor([0.0, 116.0, 255.0]).view(1, 1, 1, 3)
    means, stds = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    seen = AsPhotograph(100.0, 50.0, means, stds)((grey - 100) / 50)
    expected = (grey - torch.tensor(means).view(3, 1, 1)) / torch.tensor(stds).view(3, 1, 1)
    torch.testing.assert_close(seen, expected)
    assert not AsPhotograph(100.0, 50.0, means, stds).state_dict()


def test_inflated_patches_see_grey_as_before() -> None:
    three = nn.Conv2d(3, 6, 4, 4)
    thirteen, grey = inflate_patches(three, 13), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(thirteen(grey.expand(-1, 13, -1, -1)), three(grey.expand(-1, 3, -1, -1)))
    assert thirteen.weight.data_ptr() != three.weight.data_ptr()


def test_mixtures_start_as_the_mean() -> None:
    image = torch.randn(2, 13, 4, 4)
    torch.testing.assert_close(mix_bands(13, 3)(image), image.mean(1, keepdim=True).expand(-1, 3, -1, -1))
