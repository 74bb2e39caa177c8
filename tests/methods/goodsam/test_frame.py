"""One frame for every pose of a panorama."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.methods.goodsam.frame import find_frame


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 39), st.booleans(), st.integers(0, 1000))
def test_rolled_and_mirrored_panoramas_are_the_same(width: int, shift: int, mirrored: bool, seed: int) -> None:
    dice = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 2, (2, 3, width), generator=dice).float()  # few values, so that columns repeat
    valid = torch.rand(3, width, generator=dice) < 0.9
    other, other_valid = image.roll(shift, -1), valid.roll(shift, -1)
    if mirrored:
        other, other_valid = other.flip(-1), other_valid.flip(-1)
    frames = [find_frame(image, valid, wraps=True), find_frame(other, other_valid, wraps=True)]
    assert frames[0].key == frames[1].key
    assert torch.equal(frames[0].settle(image), frames[1].settle(other))
    assert torch.equal(frames[1].restore(frames[0].settle(image)), other)
    for frame, each in zip(frames, (image, other), strict=True):
        assert torch.equal(frame.restore(frame.settle(each)), each)


def test_what_is_no_panorama_is_only_mirrored() -> None:
    image, valid = torch.randn(2, 4, 9), torch.ones(4, 9, dtype=torch.bool)
    keys = [find_frame(each, valid, wraps=False).key for each in (image, image.flip(-1), image.roll(1, -1))]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("change", ["pixel", "valid", "size"])
def test_other_panoramas_have_other_keys(change: str) -> None:
    image, valid = torch.randn(2, 4, 9), torch.ones(4, 9, dtype=torch.bool)
    other, other_valid = image.clone(), valid.clone()
    if change == "pixel":
        other[1, 2, 3] += 1e-6
    if change == "valid":
        other_valid[0, 0] = False
    if change == "size":
        other, other_valid = image.reshape(2, 3, 12), valid.reshape(3, 12)
    assert find_frame(image, valid, wraps=True).key != find_frame(other, other_valid, wraps=True).key
