"""An image encoder with adapters around its blocks and prompts before them, itself unchanged; and the way back."""

from collections.abc import Iterable
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sensam.errors import SettingsError
from sensam.nn.block_adapters import AdapterPair
from sensam.nn.frequency_prompts import FrequencyPrompts
from sensam.nn.wrapping import Wrapped


class EncoderTuning(nn.Module):
    """What is learnt about one task: a pair of adapters for each block, or none, and prompts, or none."""

    def __init__(self, adapters: Iterable[AdapterPair] = (), prompts: FrequencyPrompts | None = None) -> None:
        super().__init__()
        self.adapters, self.prompts = nn.ModuleList(adapters), prompts


class AdaptedEncoder(Wrapped):
    """`host` run with `part` around it. The host is anything with the parts of `sensam.sam.encoder.ImageEncoder`.

    Nothing is written into the host: several of these can share one, and taking it out again is all of detaching.
    """

    host: Any
    part: EncoderTuning

    def __init__(self, host: nn.Module, part: EncoderTuning) -> None:
        super().__init__(host, part)
        assert len(part.adapters) in (0, len(self.host.layers))
        assert part.prompts is None or len(part.prompts.private) == len(self.host.layers)

    def tokens(self, image_BCHW: Tensor) -> Tensor:
        """B x h x w x D, before the neck. Edges are padded as the host pads them."""
        encoder, tuning = self.host, self.part
        patch = encoder.anatomy.patch
        pad_h, pad_w = -image_BCHW.shape[-2] % patch, -image_BCHW.shape[-1] % patch
        patches = encoder.patch_embed(F.pad(image_BCHW, (0, pad_w, 0, pad_h)))
        x = (patches + encoder.positions(encoder.pos_embed, (patches.shape[1], patches.shape[2]))).contiguous()
        prompts = repeat(None) if tuning.prompts is None else tuning.prompts(image_BCHW, patches)
        adapters = tuning.adapters or repeat(None)
        for layer, pair, prompt in zip(encoder.layers, adapters, prompts, strict=False):  # repeat() never ends
            x = x if prompt is None else x + prompt
            run = (layer, x) if pair is None else (pair, layer, x)
            again = encoder.checkpointing and torch.is_grad_enabled()
            x = checkpoint(*run, use_reentrant=False) if again else run[0](*run[1:])
        return x

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """B x E x h x w, or tokens where the host has no neck."""
        tokens = self.tokens(image_BCHW)
        neck = self.host.neck
        return tokens if neck is None else neck(tokens)


def wrap(model: Any, tuning: EncoderTuning) -> AdaptedEncoder:
    """Let a model's `vision_encoder` see with a tuning. Another one that it wears must be detached first."""
    if isinstance(model.vision_encoder, AdaptedEncoder):
        raise SettingsError("This model wears a tuning already. Detach it first.")
    adapted = AdaptedEncoder(model.vision_encoder, tuning)
    model.vision_encoder = adapted
    return adapted


def detach(model: Any) -> EncoderTuning:
    """Take the tuning off, to be kept and worn again. The model is what it was before, bit for bit."""
    adapted = model.vision_encoder
    if not isinstance(adapted, AdaptedEncoder):
        raise SettingsError("This model wears no tuning: there is nothing to detach.")
    model.vision_encoder = adapted.host
    return adapted.part
