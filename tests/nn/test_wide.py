"""Sums are float64 where a device has it; where it has not, nothing asks for it."""

import pytest
import torch

from sensam.nn.mmd import mmd_of_maps, squared_distances
from sensam.nn.wide import wide


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1"])
def test_float64_where_there_is_one(name: str) -> None:
    assert wide(torch.device(name)) == torch.float64


@pytest.mark.parametrize("name", ["mps", "mps:0"])
def test_float32_where_there_is_no_float64(name: str) -> None:
    assert wide(torch.device(name)) == torch.float32


def test_distances_are_as_wide_as_the_device_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = torch.randn(3, 40, requires_grad=True), torch.randn(3, 40)
    exact, loss = squared_distances(left, right), mmd_of_maps(left, right)
    monkeypatch.setattr("sensam.nn.mmd.wide", lambda _: wide(torch.device("mps")))
    found = squared_distances(left, right)
    assert (exact.dtype, found.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=1e-5)
    narrow = mmd_of_maps(left, right)
    narrow.backward()
    torch.testing.assert_close(narrow, loss, atol=1e-5, rtol=1e-5)
