"""CWSAM's class-wise decoder: SAM's mask decoder without prompts, with feature maps of its own for every class."""

import math
from copy import deepcopy
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Head = Literal["full", "lite"]
Skip = Literal["shared", "separate", "none"]
TAKEN = 0  # the mask token whose hypernetwork weighs the feature maps; the others only take part in attention


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a B x C x h x w map."""

    def forward(self, x_BChw: Tensor) -> Tensor:
        return super().forward(x_BChw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def full_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The authors': twice as many rows and columns, then 7 x 7 back to as many as before."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, hidden, 2, stride=2),
        ChannelNorm(hidden, eps=1e-6),
        nn.GELU(),
        nn.Conv2d(hidden, outputs, 7, stride=2, padding=3),
        nn.GELU(),
    )


def lite_head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """As deep without the detour, for a tenth of the cost; its maps may be as negative as they like."""
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, 3, padding=1),
        ChannelNorm(hidden, eps=1e-6),
        nn.GELU(),
        nn.Conv2d(hidden, outputs, 1),
    )


HEADS = {"full": full_head, "lite": lite_head}


class Upscaling(nn.Module):
    """A copy of the layers that make larger maps in a SAM mask decoder, with their names."""

    def __init__(self, mask_decoder: Any) -> None:
        super().__init__()
        for name in ("upscale_conv1", "upscale_layer_norm", "upscale_conv2"):
            self.add_module(name, deepcopy(getattr(mask_decoder, name)))


def upscale(layers: Any, image_BEhw: Tensor) -> Tensor:
    """B x E x h x w to B x E/8 x 4h x 4w by the layers of a SAM mask decoder."""
    maps: Tensor = F.gelu(layers.upscale_layer_norm(layers.upscale_conv1(image_BEhw)))
    return F.gelu(layers.upscale_conv2(maps))


class ClasswiseDecoder(nn.Module):
    """Embedding B x E x h x w to logits B x K x 4h x 4w, all from copies of what a SAM was trained with.

    `mask_decoder` is transformers' SamMaskDecoder or anything with its parts, `place_code_2F` the matrix of SAM's code
    of places, `no_mask_E` the vector that stands for "no mask was given".

    image tokens after attention with the decoder's own tokens -> upscaled --+
    image tokens before it -> upscaled by the same weights (the skip) -------+-> head -> K maps of E/8 channels
    first mask token -> hypernetwork -> E/8 weights -> weighted sum over the channels of each class's map
    """

    def __init__(
        self,
        mask_decoder: nn.Module,
        place_code_2F: Tensor,
        no_mask_E: Tensor,
        classes: int,
        *,
        head: Head = "full",
        skip: Skip = "shared",
    ) -> None:
        super().__init__()
        self.classes, self.skip = classes, skip
        self.mask_decoder: Any = deepcopy(mask_decoder)
        self.no_mask = nn.Parameter(no_mask_E.detach().clone().view(-1))
        self.place_code: Tensor
        self.register_buffer("place_code", place_code_2F.detach().clone())
        if skip == "separate":
            self.before = Upscaling(mask_decoder)
        channels = no_mask_E.numel() // 8
        inputs = channels if skip == "none" else 2 * channels
        self.head = HEADS[head](inputs, channels if skip == "separate" else inputs, channels * classes)
        for layer in self.head:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
                nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
                nn.init.zeros_(layer.bias)

    def forward(self, embedding_BEhw: Tensor) -> Tensor:
        before_BEhw = embedding_BEhw + self.no_mask[:, None, None]
        token_BE, after_BEhw = self._attend(before_BEhw)
        maps = [upscale(self.mask_decoder, after_BEhw)]
        if self.skip != "none":
            maps.append(upscale(self.before if self.skip == "separate" else self.mask_decoder, before_BEhw))
        features_BXhw = self.head(torch.cat(maps, dim=1))
        weights_BE = self.mask_decoder.output_hypernetworks_mlps[TAKEN](token_BE)
        features_BEKhw = features_BXhw.unflatten(1, (-1, self.classes))  # channel c of class k is number c * K + k
        return torch.einsum("be,bekhw->bkhw", weights_BE, features_BEKhw)

    def _attend(self, image_BEhw: Tensor) -> tuple[Tensor, Tensor]:
        """The mask token that counts and the image's tokens, after both have looked at each other."""
        decoder, (B, _, h, w) = self.mask_decoder, image_BEhw.shape
        own_TE = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens_B1TE, image_B1SE = decoder.transformer(
            point_embeddings=own_TE.expand(B, 1, -1, -1),
            image_embeddings=image_BEhw,
            image_positional_embeddings=self.places(h, w).expand(B, -1, -1, -1),
            attention_similarity=None,
        )
        after_BEhw = image_B1SE[:, 0].transpose(1, 2).unflatten(2, (h, w))
        return tokens_B1TE[:, 0, 1 + TAKEN], after_BEhw

    def places(self, h: int, w: int) -> Tensor:
        """SAM's code of every token's place, 1 x E x h x w: sines and cosines of random waves."""
        with torch.autocast(self.place_code.device.type, enabled=False):
            y, x = ((torch.arange(n, device=self.place_code.device) + 0.5) / n * 2 - 1 for n in (h, w))
            xy_hw2 = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(self.place_code.dtype)
            waves_hwF = 2 * math.pi * (xy_hw2 @ self.place_code)
            return torch.cat([waves_hwF.sin(), waves_hwF.cos()], -1).permute(2, 0, 1)[None]
