"""The rivals of the transfer layer: sizes, shapes, and the defects that only `legacy` brings back."""

import pytest
import torch
from torch import nn

from sensam.errors import SettingsError
from sensam.nn.projectors import PROJECTORS, Convolutions, ZeroShot, build_projector, parse_projector, unpatchify
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import PatchEmbed

SMALL = Anatomy("small", 16, 2, 2, (1,), patch=4, image_size=16)
WIDE = Anatomy("wide", 768, 1, 12, (0,))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("bands", [1, 3, 4, 9])
def test_sizes_with_a_patch_embedding_of_vit_b(bands: int) -> None:
    sizes = {
        "new_patch_embed": 196_608 * bands + 768,
        "linear_tuned_pe": 3 * bands + 3 + 590_592,
        "mlp_tuned_pe": (9 * bands + 1) * 4 * bands + 12 * bands + 3 + 590_592,
        "linear_frozen_pe": 3 * bands + 3,
        "linear_random_pe": 3 * bands + 3,
        "preconv(5,1,64)": 75 * bands + 3,
        "preconv(3,2,64)": 9 * bands * 64 + 64 + 64 * 3 + 3,
        "zeroshot": 0,
    }
    with torch.device("meta"):
        projection = PatchEmbed(WIDE).projection
        assert {name: count(build_projector(name, bands, projection)) for name in sizes} == sizes


@pytest.mark.parametrize("name", PROJECTORS)
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_tokens_on_the_grid_of_patches_for_any_number_of_bands(name: str, bands: int) -> None:
    patches = PatchEmbed(SMALL)
    projector = build_projector(name, bands, patches.projection)
    tokens = projector(torch.randn(2, bands, 8, 12), patches)
    assert tokens.shape == (2, 2, 3, 16)
    if name != "new_patch_embed":
        assert projector.colours(torch.randn(1, bands, 6, 10)).shape == (1, 3, 6, 10)


def test_zeroshot_is_sam_on_three_bands_repeats_the_last_and_takes_the_first() -> None:
    patches, zeroshot = PatchEmbed(SMALL), ZeroShot(3)
    image = torch.randn(2, 5, 8, 8)
    assert torch.equal(zeroshot(image[:, :3], patches), patches(image[:, :3]))
    assert torch.equal(zeroshot.colours(image[:, :1]), image[:, [0, 0, 0]])
    assert torch.equal(zeroshot.colours(image[:, :2]), image[:, [0, 1, 1]])
    assert torch.equal(zeroshot.colours(image), image[:, :3])
    assert zeroshot.sees == "the first bands only"


def test_copies_of_the_patch_embedding_start_as_sams_and_are_their_own() -> None:
    patches = PatchEmbed(SMALL)
    copied = build_projector("linear_tuned_pe", 2, patches.projection)
    image = torch.randn(1, 2, 8, 8)
    assert torch.allclose(copied(image, patches), patches(copied.colours(image)), atol=1e-6)
    patches.projection.weight.data.zero_()
    assert copied(image, patches).std() > 0.1


def test_the_random_patch_embedding_is_saved_and_never_learns() -> None:
    patches = PatchEmbed(SMALL)
    one, two = (build_projector("linear_random_pe", 2, patches.projection) for _ in range(2))
    assert {name for name, _ in one.named_parameters()} == {"mix.weight", "mix.bias"}
    image = torch.randn(1, 2, 8, 8)
    assert not torch.equal(one(image, patches), two(image, patches))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(image, patches), two(image, patches))


def test_unpatchify_goes_back_to_the_image_and_the_legacy_one_mixes_patches() -> None:
    image = torch.arange(3 * 64 * 64.0).view(1, 3, 64, 64)
    patches = image.unflatten(2, (16, 4)).unflatten(4, (16, 4)).permute(0, 2, 4, 1, 3, 5).flatten(3)
    assert torch.equal(unpatchify(patches, 4), image)
    own = torch.arange(64 * 64.0).view(1, 64, 64, 1).expand(-1, -1, -1, 256)  # every number says its patch: 1024 / 16
    patch_of = torch.arange(64).repeat_interleave(16)
    truth = patch_of[:, None] * 64 + patch_of
    assert torch.equal(unpatchify(own, 16)[0, 0], truth.float())
    legacy = unpatchify(own, 16, legacy=True)[0, 0]
    assert (legacy == truth).float().mean().item() == 1 / 64
    assert len(legacy[:16, :16].unique()) == 16


def test_a_nonlinearity_after_every_hidden_convolution_except_in_the_legacy_one() -> None:
    def kinds(layers: int, *, legacy: bool) -> str:
        convolutions = Convolutions(2, 3, 3, layers, 8, legacy=legacy).convolutions
        return "".join("c" if isinstance(layer, nn.Conv2d) else "r" for layer in convolutions)

    assert [kinds(n, legacy=False) for n in (1, 2, 3)] == ["c", "crc", "crcrc"]
    assert [kinds(n, legacy=True) for n in (1, 2, 3)] == ["c", "cc", "ccrc"]


def test_the_legacy_mlp_moves_the_image_by_a_pixel() -> None:
    patches = PatchEmbed(SMALL)
    image = torch.randn(1, 2, 8, 8)
    legacy = build_projector("mlp_tuned_pe", 2, patches.projection, legacy=True)
    assert legacy.colours(image).shape == (1, 3, 10, 10)
    assert legacy(image, patches).shape == (1, 2, 2, 16)
    assert build_projector("mlp_tuned_pe", 2, patches.projection).colours(image).shape == (1, 3, 8, 8)


def test_names_with_numbers_and_what_is_wrong_about_them() -> None:
    assert parse_projector("preconv(5, 2, 32)") == ("preconv", (5, 2, 32))
    assert parse_projector("preattn") == ("preattn", (16, 1, 64))
    projection = PatchEmbed(SMALL).projection
    for text, answer in {
        "matconv": "Did you mean 'mat_conv'",
        "preconv(3,2)": "no projector named",
        "zeroshot(1,2,3)": "takes no numbers",
        "preconv(3,0,8)": "at least 1",
        "preconv(4,2,8)": "odd kernel",
        "preattn(4,1,12)": "8 heads",
    }.items():
        with pytest.raises(SettingsError, match=answer):
            build_projector(text, 2, projection)
