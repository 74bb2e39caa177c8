"""What SAM's weights are called: transformers' names, which are ours, and the names in Meta's original files."""

import re

PLACE_CODE = "shared_image_embedding.positional_embedding"
TIED_PLACE_CODE = "prompt_encoder.shared_embedding.positional_embedding"  # the same matrix under a second name
PATCH_EMBEDDING = "vision_encoder.patch_embed."
PATCH_WEIGHT = f"{PATCH_EMBEDDING}projection.weight"

_PERCEPTRONS = r"^(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))"

# Our start of a name, and Meta's. The first that matches is the only one that applies.
_META = tuple(
    (re.compile(ours), meta)
    for ours, meta in (
        (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
        (r"^vision_encoder\.layers\.(\d+)\.layer_norm([12])\.", r"image_encoder.blocks.\1.norm\2."),
        (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
        (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
        (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
        (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
        (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
        (r"^vision_encoder\.", "image_encoder."),
        (rf"^{re.escape(PLACE_CODE)}$", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
        (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
        (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
        (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
        (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
        (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
        (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
        (r"^(mask_decoder\.transformer\.layers\.\d+)\.layer_norm([1-4])\.", r"\1.norm\2."),
        (r"^mask_decoder\.transformer\.layer_norm_final_attn\.", "mask_decoder.transformer.norm_final_attn."),
        (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
        (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
        (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
        (_PERCEPTRONS + r"\.proj_in\.", r"\1.layers.0."),
        (_PERCEPTRONS + r"\.layers\.0\.", r"\1.layers.1."),
        (_PERCEPTRONS + r"\.proj_out\.", r"\1.layers.2."),
    )
)


def meta_name(name: str) -> str:
    """What Meta's original files call the weight of this name."""
    for ours, meta in _META:
        if ours.match(name):
            return ours.sub(meta, name)
    return name  # inside the mask decoder's attention both agree
