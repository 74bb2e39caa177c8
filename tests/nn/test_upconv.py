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
