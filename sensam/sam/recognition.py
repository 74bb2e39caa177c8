"""Which SAM a transformers config describes, or the shapes of a set of weights reveal."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Size

from sensam.errors import WeightsError
from sensam.sam.anatomy import SIZES, Anatomy
from sensam.sam.checkpoint import Checkpoint
from sensam.sam.model import transformers_config
from sensam.sam.naming import PATCH_WEIGHT

# What a config can say and an Anatomy cannot. It has to be as SAM has it.
_FIXED = {
    "vision_config": (
        *("hidden_act", "layer_norm_eps", "attention_dropout", "qkv_bias", "use_abs_pos", "use_rel_pos"),
        *("mlp_dim", "mlp_ratio", "num_pos_feats"),
    ),
    "prompt_encoder_config": (
        *("hidden_size", "image_size", "patch_size", "num_point_embeddings", "hidden_act", "layer_norm_eps"),
    ),
    "mask_decoder_config": (
        *("hidden_size", "hidden_act", "num_hidden_layers", "attention_downsample_rate", "num_multimask_outputs"),
        *("iou_head_depth", "iou_head_hidden_dim", "layer_norm_eps"),
    ),
}

# Weights whose shapes together show every measure of a SAM but its blocks, and their numbers of axes.
_TELLING = {
    PATCH_WEIGHT: 4,
    "vision_encoder.pos_embed": 4,
    "vision_encoder.neck.conv1.weight": 4,
    "prompt_encoder.mask_embed.conv3.weight": 4,
    "mask_decoder.transformer.layers.0.mlp.lin1.weight": 2,
}


def anatomy_from_config(config: Mapping[str, Any], where: str) -> Anatomy:
    """The anatomy that transformers' `config.json` describes."""
    if config.get("model_type") != "sam":
        raise WeightsError(f"{where} describes a model of type {config.get('model_type')!r}; 'sam' was needed.")
    sections = _complete(config, where)
    vision, prompts, decoder = (_Section(where, name, values) for name, values in sections.items())
    found = Anatomy(
        name="custom",
        width=vision.whole("hidden_size"),
        depth=vision.whole("num_hidden_layers"),
        heads=vision.whole("num_attention_heads"),
        global_blocks=vision.blocks("global_attn_indexes"),
        window=vision.whole("window_size"),
        patch=vision.whole("patch_size"),
        image_size=vision.whole("image_size"),
        bands=vision.whole("num_channels"),
        embedding=vision.whole("output_channels"),
        decoder_heads=decoder.whole("num_attention_heads"),
        decoder_mlp=decoder.whole("mlp_dim"),
        mask_channels=prompts.whole("mask_input_channels"),
    )
    _check_divisions(found, where)
    _check_fixed(sections, transformers_config(found).to_dict(), where)
    return _named(found)


def anatomy_from_shapes(checkpoint: Checkpoint) -> Anatomy:
    """The anatomy that the shapes of a complete set of weights reveal."""
    tables = {
        block: shape
        for block in range(len(checkpoint.tensors))
        if _fits(shape := checkpoint.shape(f"vision_encoder.layers.{block}.attn.rel_pos_h"), 2)
    }
    shapes = {ours: checkpoint.shape(ours) for ours in _TELLING}
    missing = [checkpoint.name_of(ours) for ours, axes in _TELLING.items() if not _fits(shapes[ours], axes)]
    if missing or not tables:
        raise WeightsError(
            f"{checkpoint.source} does not show which SAM it belongs to: among its {len(checkpoint.tensors)} tensors "
            f"({', '.join(list(checkpoint.tensors)[:3])}, ...) there is no fitting {(missing or ['rel_pos_h'])[0]}. "
            "Give weights in transformers' or Meta's names; with size= every difference is listed."
        )
    patch, grid, neck, mask, mlp = shapes.values()
    whole_image, head_width = 2 * grid[1] - 1, next(iter(tables.values()))[1]
    windowed = {shape[0] for shape in tables.values()} - {whole_image}
    if len(windowed) != 1 or patch[0] % head_width or neck[0] != SIZES["b"].embedding:
        raise WeightsError(
            f"{checkpoint.source} holds a SAM of no published size, and its shapes do not show its attention windows "
            "or its decoder's heads. Put its config.json beside it, or give size= an Anatomy."
        )
    return _named(
        Anatomy(
            name="custom",
            width=patch[0],
            depth=max(tables) + 1,
            heads=patch[0] // head_width,
            global_blocks=tuple(block for block, shape in tables.items() if shape[0] == whole_image),
            window=(windowed.pop() + 1) // 2,
            patch=patch[2],
            image_size=grid[1] * patch[2],
            bands=patch[1],
            embedding=neck[0],
            decoder_mlp=mlp[0],
            mask_channels=mask[1],
        )
    )


def describe(a: Anatomy) -> str:
    """An anatomy in a few words, for messages."""
    return f"{a.name} ({a.depth} blocks of width {a.width}, patch {a.patch}, trained at {a.image_size})"


def _fits(shape: Size, axes: int) -> bool:
    return len(shape) == axes and 0 not in shape


def _named(found: Anatomy) -> Anatomy:
    """Under the name of the built-in size it equals, whatever its bands."""
    for name, known in SIZES.items():
        if replace(known, name=found.name, bands=found.bands) == found:
            return replace(found, name=name)
    return found


def _complete(config: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """The three sections, with what the file leaves out as transformers would fill it in."""
    defaults = transformers_config(SIZES["b"]).to_dict()
    defaults["vision_config"]["mlp_dim"] = None
    sections: dict[str, dict[str, Any]] = {}
    for section in _FIXED:
        given = config.get(section) or {}
        if not isinstance(given, Mapping):
            raise WeightsError(f"{where} has a {section} that is no table of settings.")
        sections[section] = {**defaults[section], **given}
    return sections


def _check_fixed(theirs: Mapping[str, Mapping[str, Any]], ours: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Refuse what our encoder does not do. Where mlp_dim is given, transformers passes over mlp_ratio."""
    passed_over = "mlp_dim" if theirs["vision_config"]["mlp_dim"] is None else "mlp_ratio"
    for section, keys in _FIXED.items():
        for key in keys:
            if key != passed_over and theirs[section][key] != ours[section][key]:
                raise WeightsError(
                    f"{where} has {section}.{key} = {theirs[section][key]!r}; a SAM of this size has "
                    f"{ours[section][key]!r}, and sensam builds no other."
                )


class _Section:
    """Settings of one section, read with the checks that make a good message."""

    def __init__(self, where: str, name: str, values: Mapping[str, Any]) -> None:
        self.where, self.name, self.values = where, name, values

    def whole(self, key: str) -> int:
        value = self.values[key]
        if type(value) is not int or value < 1:
            raise WeightsError(f"{self.where} has {self.name}.{key} = {value!r}; a whole number above 0 was needed.")
        return value

    def blocks(self, key: str) -> tuple[int, ...]:
        value = self.values[key]
        if not isinstance(value, list | tuple) or any(type(block) is not int or block < 0 for block in value):
            raise WeightsError(f"{self.where} has {self.name}.{key} = {value!r}; a list of block numbers was needed.")
        return tuple(value)


def _check_divisions(a: Anatomy, where: str) -> None:
    for whole, part, meaning in (
        (a.width, a.heads, "vision_config.hidden_size by num_attention_heads"),
        (a.image_size, a.patch, "vision_config.image_size by patch_size"),
        (a.embedding, 8, "vision_config.output_channels by the mask decoder's 8"),
        (
            a.embedding,
            2 * a.decoder_heads,
            "vision_config.output_channels by twice mask_decoder_config.num_attention_heads",
        ),
        (a.mask_channels, 4, "prompt_encoder_config.mask_input_channels by 4"),
    ):
        if whole % part:
            raise WeightsError(f"{where} does not describe a SAM: cannot divide {meaning} ({whole} / {part}).")
