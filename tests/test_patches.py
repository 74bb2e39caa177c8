"""Patches become tokens as a convolution says, in every precision and for every number of bands."""

import pytest
import torch
from torch import Tensor, nn

from sensam.patches import project_patches


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found.float() - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("groups", [1, 2])
def test_it_is_the_convolution(groups: int) -> None:
    projection = nn.Conv2d(6, 10, 4, 4, groups=groups)
    image = torch.randn(2, 6, 8, 13)  # its last column fits no kernel
    expected = projection(image).permute(0, 2, 3, 1)
    torch.testing.assert_close(project_patches(projection, image), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 6, 8, 12, 13, 16, 24])
@pytest.mark.parametrize("side", [8, 16])
def test_half_precision_says_the_same_and_learns_the_same(bands: int, side: int) -> None:
    projection, image = nn.Conv2d(bands, 32, side, side), torch.randn(2, bands, 64, 64, requires_grad=True)
    inputs, outputs = (image, *projection.parameters()), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            tokens = project_patches(projection, image)
        outputs.append((tokens, *torch.autograd.grad(tokens.float().square().sum(), inputs)))
    for exact, half in zip(*outputs, strict=True):
        assert relative(half, exact) < 0.01
