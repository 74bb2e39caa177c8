"""A SAM encoder as a feature pyramid, for pipelines such as torchgeo's and TerraTorch's that bring their own head.

    image B x C x H x W -> encoder -> tokens at 1/patch -> four maps at 1/4, 1/8, 1/16, 1/32 of the image

Every map has as many channels as a token is wide; `channels` and `reductions` tell a head what it gets.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.sam.encoder import ImageEncoder
from sensam.sam.weights import load_sam

REDUCTIONS = (4, 8, 16, 32)


class FeaturePyramid(nn.Module):
    """Four maps of tokens from four depths of an encoder, the last one from its end.

    In a YAML that names classes: `class_path: sensam.export.pyramid.FeaturePyramid` with `init_args: {sam: nano}`;
    from Python an `ImageEncoder` may be given instead.
    """

    def __init__(self, sam: str | ImageEncoder = "nano", bands: int = 3, trainable: bool = True) -> None:
        super().__init__()
        encoder = load_sam(sam, bands=bands, stem="inflate").vision_encoder if isinstance(sam, str) else sam
        depth = len(encoder.layers)
        if depth < len(REDUCTIONS):
            raise SettingsError(
                f"A pyramid takes tokens from {len(REDUCTIONS)} depths; this encoder has {depth} blocks."
            )
        self.encoder = encoder.requires_grad_(trainable)
        self.depths = tuple(round((level + 1) * depth / len(REDUCTIONS)) - 1 for level in range(len(REDUCTIONS)))
        self.channels = (encoder.anatomy.width,) * len(REDUCTIONS)
        self.reductions = REDUCTIONS

    @property
    def out_channels(self) -> tuple[int, ...]:
        """The same under the name that TerraTorch's necks and decoders ask for."""
        return self.channels

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Maps B x D x H/4 x W/4 to B x D x H/32 x W/32, each resampled from the grid of tokens."""
        kept: list[Tensor] = []
        hooks = [
            self.encoder.layers[depth].register_forward_hook(lambda *told: kept.append(told[2]))
            for depth in self.depths
        ]
        try:
            self.encoder.tokens(image_BCHW)
        finally:
            for hook in hooks:
                hook.remove()
        rows, columns = image_BCHW.shape[-2:]
        patch = self.encoder.anatomy.patch
        return [_resampled(one, patch, rows, columns, by) for one, by in zip(kept, REDUCTIONS, strict=True)]


def _resampled(tokens_BhwD: Tensor, patch: int, rows: int, columns: int, reduction: int) -> Tensor:
    """Tokens on the grid of a level. Padding below and to the right of the image is cut off first."""
    map_BDhw = tokens_BhwD.permute(0, 3, 1, 2)[..., : -(-rows // patch), : -(-columns // patch)]
    size = [max(1, -(-side // reduction)) for side in (rows, columns)]
    if list(map_BDhw.shape[-2:]) == size:
        return map_BDhw
    return F.interpolate(map_BDhw, size, mode="bilinear", align_corners=False, antialias=size[0] < map_BDhw.shape[-2])
