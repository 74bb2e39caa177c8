"""Sums over many numbers keep more digits than what they sum, where a device can."""

import torch


def wide(device: torch.device) -> torch.dtype:
    """The widest floating type of a device: Apple's mps has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
