"""Names of the published files, complete for every size, without a byte of weights."""

from collections.abc import Callable

import pytest

from sensam.sam.anatomy import anatomy
from sensam.sam.naming import meta_name
from sensam.sam.weights import expected_shapes


@pytest.mark.parametrize(("size", "encoder", "whole"), [("b", 177, 314), ("l", 345, 482), ("h", 457, 594)])
def test_every_weight_has_its_name_in_metas_file(
    names_of_meta: Callable[[int], dict[str, str]], size: str, encoder: int, whole: int
) -> None:
    names = {ours: meta_name(ours) for ours in expected_shapes(anatomy(size))}
    assert names == names_of_meta(anatomy(size).depth)
    assert len(set(names.values())) == whole
    assert sum(meta.startswith("image_encoder.") for meta in names.values()) == encoder
    assert sum(meta.startswith("image_encoder.neck.") for meta in names.values()) == 6


def test_shapes_of_vit_h() -> None:
    shapes = {meta_name(ours): tuple(shape) for ours, shape in expected_shapes(anatomy("h")).items()}
    assert shapes["image_encoder.pos_embed"] == (1, 64, 64, 1280)
    assert shapes["image_encoder.blocks.0.attn.rel_pos_h"] == (27, 80)
    assert shapes["image_encoder.blocks.31.attn.rel_pos_w"] == (127, 80)
    assert shapes["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] == (2, 128)
    assert shapes["mask_decoder.output_hypernetworks_mlps.3.layers.2.weight"] == (32, 256)
