"""The encoder as a feature pyramid: sizes, channels, gradients, and the tokens it was made of."""

import pytest
import torch

from sensam.errors import SettingsError
from sensam.export.pyramid import FeaturePyramid
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import ImageEncoder

SMALL = Anatomy(
    "small", 32, 4, 2, (3,), window=3, image_size=64, embedding=32, decoder_heads=2, decoder_mlp=48, mask_channels=16
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ImageEncoder(SMALL)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (70, 50)])
def test_four_maps_of_documented_channels_and_sizes(encoder, size):
    pyramid = FeaturePyramid(encoder)
    maps = pyramid(torch.randn(2, 3, *size))
    assert pyramid.channels == pyramid.out_channels == (32, 32, 32, 32)
    assert pyramid.depths == (0, 1, 2, 3)
    for one, channels, reduction in zip(maps, pyramid.channels, pyramid.reductions, strict=True):
        assert one.shape == (2, channels, *(-(-side // reduction) for side in size))


def test_the_map_at_the_grid_of_tokens_is_the_tokens(encoder):
    encoder.eval()
    image = torch.randn(1, 3, 64, 64)
    level = FeaturePyramid(encoder).reductions.index(SMALL.patch)
    kept = []
    encoder.layers[level].register_forward_hook(lambda *told: kept.append(told[2]))
    maps = FeaturePyramid(encoder)(image)
    assert torch.equal(maps[level], kept[0].permute(0, 3, 1, 2))


def test_it_learns_or_is_frozen(encoder):
    pyramid = FeaturePyramid(encoder, trainable=False)
    assert not any(weight.requires_grad for weight in pyramid.parameters())
    pyramid = FeaturePyramid(encoder)
    sum(one.sum() for one in pyramid(torch.randn(1, 3, 64, 64))).backward()
    assert encoder.patch_embed.projection.weight.grad is not None
    assert not encoder.layers[0]._forward_hooks


def test_by_name_with_more_bands():
    pyramid = FeaturePyramid("nano", bands=5)
    assert pyramid.channels == (160,) * 4
    assert [one.shape[-1] for one in pyramid(torch.randn(1, 5, 64, 64))] == [16, 8, 4, 2]


def test_an_encoder_that_is_too_shallow():
    from dataclasses import replace

    with pytest.raises(SettingsError, match="4 depths"):
        FeaturePyramid(ImageEncoder(replace(SMALL, depth=2, global_blocks=(1,))))
