"""Settings of maps are the same from Python and from the command line."""

import pytest
import torch

from sensam.infer.mapping import MapSettings
from sensam.infer.voting import Vote
from sensam.maps import settings_of, settled


@pytest.mark.parametrize(("device", "batch"), [("cpu", 1), ("cuda:1", 8), ("mps", 1)])
def test_tiles_at_once_suit_the_device_unless_they_are_said(device: str, batch: int) -> None:
    vote = object.__new__(Vote)
    vote.device, vote.is_half = torch.device(device), False
    assert settled(settings_of({}), "none", vote) == MapSettings(batch=batch, how="none,fp32")
    assert settled(settings_of({"batch": 3}), "flip", vote) == MapSettings(batch=3, how="flip,fp32")
