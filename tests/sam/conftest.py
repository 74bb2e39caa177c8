"""Small SAMs with random weights everywhere: ours, transformers' twin, and Meta's names for them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from transformers import SamModel

from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam, transformers_config

# Windows of 3 tokens in a grid of 4: every window at an edge is padded.
TINY = Anatomy(
    "tiny", 32, 4, 2, (1, 3), window=3, image_size=64, embedding=32, decoder_heads=2, decoder_mlp=48, mask_channels=16
)


def fill(module: nn.Module, seed: int) -> None:
    """Random numbers in every weight, large enough that leaving any of them out would show."""
    dice = torch.Generator().manual_seed(seed)
    mixing = {m.weight for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)}
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=dice)
            if weight in mixing:
                weight.copy_(noise / weight[0].numel() ** 0.5)
            elif name.endswith("positional_embedding"):
                weight.copy_(noise)
            else:
                weight.copy_(0.3 * noise + ("norm" in name and name.endswith("weight")))


def make_twin(sam: Sam) -> SamModel:
    """transformers' own model with the same weights."""
    twin = SamModel(transformers_config(sam.anatomy))
    twin.load_state_dict(sam.state_dict())
    return twin.eval()


def meta_names(depth: int) -> dict[str, str]:
    """Our names to those in Meta's release, written out independently of the package."""
    both: dict[str, str] = {"vision_encoder.patch_embed.projection": "image_encoder.patch_embed.proj"}
    single = {
        "vision_encoder.neck.conv1": "image_encoder.neck.0",
        "vision_encoder.neck.conv2": "image_encoder.neck.2",
        "prompt_encoder.not_a_point_embed": "prompt_encoder.not_a_point_embed",
        "prompt_encoder.no_mask_embed": "prompt_encoder.no_mask_embed",
        "mask_decoder.iou_token": "mask_decoder.iou_token",
        "mask_decoder.mask_tokens": "mask_decoder.mask_tokens",
    }
    bare = {
        "vision_encoder.pos_embed": "image_encoder.pos_embed",
        "shared_image_embedding.positional_embedding": ("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    }
    for number in (1, 2):
        both[f"vision_encoder.neck.layer_norm{number}"] = f"image_encoder.neck.{2 * number - 1}"
    for block in range(depth):
        ours, meta = f"vision_encoder.layers.{block}", f"image_encoder.blocks.{block}"
        for module in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2"):
            both[f"{ours}.{module}"] = f"{meta}.{module}"
        for number in (1, 2):
            both[f"{ours}.layer_norm{number}"] = f"{meta}.norm{number}"
        for axis in "hw":
            bare[f"{ours}.attn.rel_pos_{axis}"] = f"{meta}.attn.rel_pos_{axis}"
    for number in range(4):
        single[f"prompt_encoder.point_embed.{number}"] = f"prompt_encoder.point_embeddings.{number}"
    for place, module in zip((0, 1, 3, 4, 6), ("conv1", "layer_norm1", "conv2", "layer_norm2", "conv3"), strict=True):
        both[f"prompt_encoder.mask_embed.{module}"] = f"prompt_encoder.mask_downscaling.{place}"
    two_way = "mask_decoder.transformer"
    projections = ("q_proj", "k_proj", "v_proj", "out_proj")
    for layer in range(2):
        ours = f"{two_way}.layers.{layer}"
        for attention in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"):
            both |= {f"{ours}.{attention}.{part}": f"{ours}.{attention}.{part}" for part in projections}
        both |= {f"{ours}.mlp.{part}": f"{ours}.mlp.{part}" for part in ("lin1", "lin2")}
        both |= {f"{ours}.layer_norm{number}": f"{ours}.norm{number}" for number in (1, 2, 3, 4)}
    final = f"{two_way}.final_attn_token_to_image"
    both |= {f"{final}.{part}": f"{final}.{part}" for part in projections}
    both[f"{two_way}.layer_norm_final_attn"] = f"{two_way}.norm_final_attn"
    for place, module in zip((0, 1, 3), ("upscale_conv1", "upscale_layer_norm", "upscale_conv2"), strict=True):
        both[f"mask_decoder.{module}"] = f"mask_decoder.output_upscaling.{place}"
    for head in (*(f"output_hypernetworks_mlps.{mask}" for mask in range(4)), "iou_prediction_head"):
        for place, module in enumerate(("proj_in", "layers.0", "proj_out")):
            both[f"mask_decoder.{head}.{module}"] = f"mask_decoder.{head}.layers.{place}"
    names = {f"{ours}.{part}": f"{meta}.{part}" for ours, meta in both.items() for part in ("weight", "bias")}
    return names | {f"{ours}.weight": f"{meta}.weight" for ours, meta in single.items()} | bare


@pytest.fixture
def make_sam() -> Callable[..., Sam]:
    """Our tiny SAM, with some measures changed."""

    def make(seed: int = 0, **measures: object) -> Sam:
        sam = Sam(replace(TINY, **measures))
        fill(sam, seed)
        return sam.eval()

    return make


@pytest.fixture
def pair(make_sam: Callable[..., Sam]) -> Callable[..., tuple[Sam, SamModel]]:
    """Our tiny SAM and transformers' with the same weights."""

    def make(seed: int = 0, **measures: object) -> tuple[Sam, SamModel]:
        sam = make_sam(seed, **measures)
        return sam, make_twin(sam)

    return make


@pytest.fixture
def names_of_meta() -> Callable[[int], dict[str, str]]:
    """Our names to Meta's for a number of blocks."""
    return meta_names


@pytest.fixture
def meta_state() -> Callable[[Sam], dict[str, Tensor]]:
    """The weights of a SAM as Meta's .pth holds them."""

    def state(sam: Sam) -> dict[str, Tensor]:
        weights = sam.state_dict()
        return {meta: weights[ours].clone() for ours, meta in meta_names(sam.anatomy.depth).items()}

    return state
