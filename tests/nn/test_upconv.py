"""The light decoder has the published number of parameters and ends at full resolution for any patch."""

import pytest
import torch

from sensam.errors import SettingsError
from sensam.nn.upconv import UpConvDecoder


@pytest.mark.parametrize(("classes", "parameters"), [(2, 181_666), (23, 187_735)])
def test_it_has_as_many_parameters_as_the_authors_decoder(classes: int, parameters: int) -> None:
    decoder = UpConvDecoder(256, classes)
    assert sum(weight.numel() for weight in decoder.parameters()) == parameters


@pytest.mark.parametrize("patch", [2, 8, 16, 32])
def test_it_ends_at_full_resolution(patch: int) -> None:
    logits = UpConvDecoder(24, 3, patch)(torch.randn(2, 24, 3, 2))
    assert logits.shape == (2, 3, 3 * patch, 2 * patch)


@pytest.mark.parametrize("patch", [1, 14])
def test_a_patch_that_doubling_cannot_reach_is_refused(patch: int) -> None:
    with pytest.raises(SettingsError, match=f"found {patch}"):
        UpConvDecoder(24, 3, patch)


def test_detail_adds_its_own_weights_and_draws_the_others_as_before() -> None:
    (plain, after), (detailed, after_detail) = ((_decoder(detail), torch.rand(3)) for detail in (None, 5))
    assert torch.equal(after, after_detail)
    added = {name: weight for name, weight in detailed.state_dict().items() if name.startswith("detail.")}
    assert sum(weight.numel() for name, weight in detailed.named_parameters() if name in added) == 9 * 32 * 69 + 6 * 32
    assert detailed.state_dict().keys() - added.keys() == plain.state_dict().keys()
    assert all(torch.equal(weight, detailed.state_dict()[name]) for name, weight in plain.state_dict().items())


def test_detail_sees_single_pixels_and_no_farther_than_their_neighbours() -> None:
    decoder = _decoder(detail=2).eval()
    embedding, image = torch.randn(1, 24, 3, 3), torch.randn(1, 2, 21, 19)  # the grid is padded to 24 x 24
    changed = image.clone()
    changed[0, 1, 10, 12] += 5
    with torch.no_grad():
        moved = (decoder(embedding, changed) - decoder(embedding, image)).abs().sum(1)[0] > 0
    assert moved.shape == (24, 24)
    assert moved[10, 12]
    moved[10 - 4 : 10 + 5, 12 - 4 : 12 + 5] = False  # three convolutions, and the one that classifies
    assert not moved.any()


def _decoder(detail: int | None) -> UpConvDecoder:
    torch.manual_seed(0)
    return UpConvDecoder(24, 3, 8, detail=detail)
