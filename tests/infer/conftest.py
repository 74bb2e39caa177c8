"""A tiny SAM with weights that matter, as transformers' model and as ours, and a small scene to map."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import SamModel, SamProcessor

from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam, transformers_config
from tests.infer.mapmaking import ground, write_scene

try:  # older releases call the processor on torchvision so; their plain name is Pillow's, which rounds differently
    from transformers.models.sam.image_processing_sam_fast import SamImageProcessorFast as SamImageProcessor
except ImportError:
    from transformers import SamImageProcessor

TINY = {"window": 3, "patch": 8, "image_size": 64, "embedding": 32, "decoder_heads": 2, "decoder_mlp": 64}


def tiny_anatomy(bands: int = 3) -> Anatomy:
    """Two blocks, one with windows that do not divide the grid."""
    return Anatomy("tiny", 32, 2, 2, (1,), bands=bands, **TINY)


def enliven(model: nn.Module, seed: int = 0) -> None:
    """Random weights, nowhere zero, under which masks depend on image and prompt."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=dice)
            if name.endswith("positional_embedding"):
                weight.copy_(noise)
            elif "norm" in name:
                weight.copy_(name.endswith("weight") + 0.1 * noise)
            elif weight.ndim > 1 and "embed" not in name and "token" not in name and "rel_pos" not in name:
                weight.copy_(noise * weight[0].numel() ** -0.5)
            else:
                weight.copy_(0.3 * noise)


@pytest.fixture(scope="session")
def theirs() -> SamModel:
    model = SamModel(transformers_config(tiny_anatomy())).eval()
    enliven(model)
    return model


@pytest.fixture(scope="session")
def processor() -> SamProcessor:
    """transformers' own way from a photograph and prompts to its model and back, for the tiny SAM."""
    side = TINY["image_size"]
    return SamProcessor(SamImageProcessor(size={"longest_edge": side}, pad_size={"height": side, "width": side}))


@pytest.fixture(scope="session")
def sam(theirs: SamModel) -> Sam:
    ours = Sam(tiny_anatomy())
    ours.load_state_dict(theirs.state_dict())
    return ours.eval()


@pytest.fixture(scope="session")
def sam5() -> Sam:
    ours = Sam(tiny_anatomy(bands=5))
    enliven(ours)
    return ours.eval()


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """A picture wider than high, with structure at several scales."""
    y, x = np.mgrid[:50, :90]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 17 - y / 5), np.sin(y / 9) * np.cos(x / 3)]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, NDArray[np.uint16]]:
    """A file with a corner that holds nothing, and its pixels."""
    pixels = ground(90, 130)
    pixels[:, :20, :30] = 0
    return write_scene(tmp_path / "in" / "scene.tif", pixels), pixels
