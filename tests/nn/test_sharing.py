"""One set of frozen weights in several models."""

import torch
from torch import nn

from sensam.nn.sharing import share_frozen


def test_memory_is_shared_flags_and_modes_are_not() -> None:
    first = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train()
    second = share_frozen(first).eval()
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert one.data_ptr() == other.data_ptr()
    assert all(weight.requires_grad for weight in first.parameters())
    assert not any(weight.requires_grad for weight in second.parameters())
    assert first.training
    second[0].weight = nn.Parameter(torch.zeros(3, 3))
    assert first[0].weight.any()
