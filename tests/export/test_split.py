"""SAM in two halves: the encoder once an image, the decoder once a click, and the same masks."""

import pytest
import torch

from sensam.export.split import export_split
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from tests.infer.mapmaking import sensor


@pytest.mark.slow
def test_both_halves_compute_what_sam_computes(tmp_path):
    torch.manual_seed(0)
    tiny = Anatomy(
        "tiny", 16, 1, 2, (0,), window=0, image_size=64, embedding=32, decoder_heads=2, decoder_mlp=48, mask_channels=16
    )
    encoder, decoder, largest = export_split(Sam(tiny), sensor(), tmp_path, side=64)
    assert encoder.is_file()
    assert decoder.is_file()
    assert largest < 1e-3
