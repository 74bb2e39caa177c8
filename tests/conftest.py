"""What tests of every package share."""

from pathlib import Path

import pytest
import torch

from sensam.sam.model import Sam
from sensam.sam.weights import save_sam
from tests.tiny_sam import TINY


@pytest.fixture(autouse=True)
def same_dice() -> None:
    """Every test throws the same random numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SAM with random weights."""
    folder = tmp_path_factory.mktemp("sam") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_sam(Sam(TINY), folder)
    return folder
