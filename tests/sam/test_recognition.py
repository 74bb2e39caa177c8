"""Anatomies from configs and shapes, and the configs that describe no SAM of ours."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import SamConfig

from sensam.errors import WeightsError
from sensam.sam.anatomy import SIZES, anatomy
from sensam.sam.checkpoint import Checkpoint
from sensam.sam.model import transformers_config
from sensam.sam.naming import meta_name
from sensam.sam.recognition import anatomy_from_config, anatomy_from_shapes
from sensam.sam.weights import expected_shapes

# The kind of file that transformers 4 wrote beside ViT-L: much about generation, little about SAM.
VIT_L = {
    "_commit_hash": None,
    "architectures": ["SamModel"],
    "initializer_range": 0.02,
    "mask_decoder_config": {"hidden_size": 256, "mlp_dim": 2048, "num_beams": 1, "torch_dtype": None},
    "model_type": "sam",
    "prompt_encoder_config": {"image_embedding_size": 64, "top_k": 50, "model_type": ""},
    "torch_dtype": "float32",
    "transformers_version": None,
    "vision_config": {
        "dropout": 0.0,
        "global_attn_indexes": [5, 11, 17, 23],
        "hidden_size": 1024,
        "mlp_dim": 4096,
        "mlp_ratio": 4.0,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "projection_dim": 512,
    },
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bands", [1, 3, 13])
def test_a_config_written_is_the_anatomy_read(size: str, bands: int) -> None:
    wanted = replace(anatomy(size), bands=bands)
    written = transformers_config(wanted)
    assert anatomy_from_config(written.to_dict(), "it") == wanted
    assert anatomy_from_config(written.to_diff_dict(), "it") == wanted


def test_a_config_of_an_older_transformers() -> None:
    assert anatomy_from_config(VIT_L, "it") == anatomy("l")


def test_what_a_config_leaves_out_is_vit_b() -> None:
    assert anatomy_from_config({"model_type": "sam"}, "it") == anatomy("b")
    assert anatomy_from_config(SamConfig().to_dict(), "it") == anatomy("b")


def test_a_width_of_its_own_needs_no_mlp_width() -> None:
    config = {"vision_config": {"hidden_size": 384, "image_size": 512}, "prompt_encoder_config": {"image_size": 512}}
    found = anatomy_from_config({"model_type": "sam", **config}, "it")
    assert found == replace(anatomy("b"), name="custom", width=384, image_size=512)


@pytest.mark.parametrize(
    ("section", "setting", "message"),
    [
        ("vision_config", {"use_rel_pos": False}, "vision_config.use_rel_pos = False"),
        ("vision_config", {"qkv_bias": False}, "vision_config.qkv_bias = False"),
        ("vision_config", {"mlp_ratio": 3.0}, "vision_config.mlp_ratio = 3.0"),
        ("vision_config", {"mlp_dim": 1024}, "vision_config.mlp_dim = 1024"),
        ("vision_config", {"image_size": [512, 1024]}, r"vision_config.image_size = \[512, 1024\]"),
        ("vision_config", {"hidden_size": "wide"}, "vision_config.hidden_size = 'wide'"),
        ("vision_config", {"num_hidden_layers": 0}, "a whole number above 0 was needed"),
        ("vision_config", {"num_attention_heads": 5}, "cannot divide"),
        ("vision_config", {"global_attn_indexes": 2}, "a list of block numbers"),
        ("vision_config", {"image_size": 512}, "prompt_encoder_config.image_size = 1024"),
        ("mask_decoder_config", {"num_multimask_outputs": 5}, "num_multimask_outputs = 5"),
        ("mask_decoder_config", {"num_hidden_layers": 3}, "num_hidden_layers = 3"),
        ("prompt_encoder_config", "none", "no table of settings"),
    ],
)
def test_a_config_of_something_else(section: str, setting: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        anatomy_from_config({"model_type": "sam", section: setting}, "a/config.json")
    assert str(caught.value).startswith("a/config.json")
    assert "\n" not in str(caught.value)


def test_a_config_of_another_family() -> None:
    with pytest.raises(WeightsError, match="type 'segformer'; 'sam' was needed"):
        anatomy_from_config({"model_type": "segformer"}, "it")


@pytest.mark.parametrize("size", ["b", "l", "h"])
@pytest.mark.parametrize("is_meta", [False, True])
def test_shapes_of_the_published_sizes(size: str, is_meta: bool) -> None:
    names = {ours: meta_name(ours) if is_meta else ours for ours in expected_shapes(anatomy(size))}
    tensors = {names[ours]: torch.empty(shape, device="meta") for ours, shape in expected_shapes(anatomy(size)).items()}
    assert anatomy_from_shapes(Checkpoint("it", tensors, "float32", None, is_meta)) == anatomy(size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "measures", [{"image_size": 512}, {"bands": 13}, {"window": 7}, {"patch": 8}, {"depth": 2, "global_blocks": ()}]
)
def test_shapes_of_relatives(measures: dict[str, Any]) -> None:
    wanted = replace(anatomy("b"), **measures)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in expected_shapes(wanted).items()}
    found = anatomy_from_shapes(Checkpoint("it", tensors, "float32", None, False))
    assert found == replace(wanted, name=found.name)


@pytest.mark.parametrize("measures", [{"embedding": 128}, {"window": 64}, {"global_blocks": tuple(range(12))}])
def test_shapes_that_leave_something_open(measures: dict[str, Any]) -> None:
    wanted = replace(anatomy("b"), **measures)
    tensors = {name: torch.empty(shape, device="meta") for name, shape in expected_shapes(wanted).items()}
    with pytest.raises(WeightsError, match=r"config\.json beside it, or give size="):
        anatomy_from_shapes(Checkpoint("it", tensors, "float32", None, False))


@pytest.mark.parametrize("shape", [None, (64,), (1, 64, 64), (1, 0, 0, 768)])
def test_tensors_of_something_else(shape: tuple[int, ...] | None) -> None:
    tensors = {name: torch.empty(size, device="meta") for name, size in expected_shapes(anatomy("nano")).items()}
    del tensors["vision_encoder.pos_embed"]
    if shape:
        tensors["vision_encoder.pos_embed"] = torch.empty(shape, device="meta")
    with pytest.raises(WeightsError, match=r"no fitting vision_encoder\.pos_embed"):
        anatomy_from_shapes(Checkpoint("it", tensors, "float32", None, False))
