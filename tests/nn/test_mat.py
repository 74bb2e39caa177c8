"""The transfer layers: exact sizes, exact reach, and what they start as."""

import pytest
import torch
from torch import nn

from sensam.nn.mat import MatConv, MatGated
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import PatchEmbed

SMALL = Anatomy("small", 16, 2, 2, (1,), patch=4, image_size=16)
WIDE = Anatomy("wide", 768, 1, 12, (0,))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("bands", "size"), [(1, 2371), (2, 2947), (3, 3523), (4, 4099), (6, 5251), (9, 6979)])
def test_mat_conv_has_576_c_plus_1795_parameters_and_keeps_any_size(bands: int, size: int) -> None:
    mat = MatConv(bands)
    assert count(mat) == 576 * bands + 1795 == size
    assert mat.colours(torch.randn(2, bands, 7, 11)).shape == (2, 3, 7, 11)


@pytest.mark.parametrize(("bands", "size"), [(1, 197_468), (3, 592_830), (4, 790_727), (6, 1_186_953), (9, 1_782_372)])
def test_mat_gated_has_the_published_number_of_parameters(bands: int, size: int) -> None:
    with torch.device("meta"):
        assert count(MatGated(bands, PatchEmbed(WIDE).projection)) == size


def test_one_pixel_reaches_five_by_five_and_only_the_patches_it_meets() -> None:
    torch.manual_seed(0)
    mat, patches = MatConv(2).double(), PatchEmbed(SMALL).double()
    image = torch.randn(1, 2, 16, 16, dtype=torch.float64)
    changed = image.clone()
    changed[0, 1, 7, 9] += 5
    moved = (mat.colours(image) != mat.colours(changed)).any(1)[0]
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[5:10, 7:12] = True
    assert moved[expected].float().mean() > 0.9  # a ReLU may hide a few
    assert not moved[~expected].any()
    tokens = (mat(image, patches) != mat(changed, patches)).any(-1)[0]
    assert tokens.nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_the_border_is_padded_with_zeros() -> None:
    mat = MatConv(1)
    inside = torch.randn(1, 1, 6, 6)
    around = nn.functional.pad(inside, (4, 4, 4, 4))
    plain = mat.narrow(nn.functional.relu(mat.widen(inside)))
    assert torch.equal(mat.colours(inside), plain)
    widened = mat.widen(around)[..., 4:-4, 4:-4]
    assert torch.allclose(mat.widen(inside), widened, atol=1e-6)


def test_a_kept_colour_passes_unchanged_and_the_rest_can_learn() -> None:
    mat = MatConv(4)
    mat.keep([2, 0, 3], torch.tensor([1.0, 2.0, 0.5]), torch.tensor([0.0, -1.0, 3.0]))
    image = torch.randn(2, 4, 5, 5)
    line = torch.stack([image[:, 2], 2 * image[:, 0] - 1, image[:, 3] / 2 + 3], 1)
    assert torch.allclose(mat.colours(image), line, atol=1e-5)
    mat.colours(image).square().sum().backward()
    assert mat.narrow.weight.grad is not None
    assert (mat.narrow.weight.grad[:, 6:].abs().sum((0, 2, 3)) > 0).all()


def test_mat_gated_starts_as_its_known_branch_with_a_gate_between_0_and_1() -> None:
    torch.manual_seed(0)
    patches = PatchEmbed(SMALL)
    mat = MatGated(5, patches.projection)
    image = torch.randn(2, 5, 8, 12)
    assert torch.equal(mat(image, patches), patches(mat.colours(image)))
    gate = mat.gate(image)
    assert gate.shape == (2, 5, 1, 1)
    assert ((gate > 0) & (gate < 1)).all()
    mat.mix.weight.data.fill_(0.2)  # the novel branch: SAM's kernel summed over its bands, for every band
    summed = patches.projection.weight.sum(1, keepdim=True)
    novel = [
        nn.functional.conv2d(image[:, [band]] * (1 - gate[:, [band]]), summed, patches.projection.bias, 4)
        for band in range(5)
    ]
    expected = patches(mat.colours(image)) + 0.2 * sum(novel).permute(0, 2, 3, 1)  # type: ignore[union-attr]
    assert torch.allclose(mat(image, patches), expected, atol=1e-5)
