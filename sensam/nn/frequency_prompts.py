"""Prompts from an image's frequencies and patches: one for each block, added to its tokens (SAM-Adapter, CWSAM)."""

import math
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from sensam.nn.lowpass import FrequencyFilter
from sensam.patches import project_patches


class FrequencyPrompts(nn.Module):
    """prompt of block i = shared(gelu(private_i(patches of the filtered image + the patch embedding, narrowed))).

    The last layer is one for all blocks. With `starts_at_zero` it makes every prompt zero at first.
    """

    def __init__(
        self,
        bands: int,
        patch: int,
        width: int,
        inner: int,
        depth: int,
        filter: FrequencyFilter,
        *,
        starts_at_zero: bool = True,
    ) -> None:
        super().__init__()
        self.patch, self.filter = patch, filter
        self.handcrafted = nn.Conv2d(bands * filter.parts, inner, patch, patch, groups=filter.parts)
        self.embedding = nn.Linear(width, inner)
        self.private = nn.ModuleList(nn.Linear(inner, inner) for _ in range(depth))
        self.shared = nn.Linear(inner, width)
        fan_out = patch**2 * inner // filter.parts
        nn.init.normal_(self.handcrafted.weight, std=math.sqrt(2 / fan_out))
        assert self.handcrafted.bias is not None
        nn.init.zeros_(self.handcrafted.bias)
        for layer in (self.embedding, *self.private, self.shared):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        if starts_at_zero:
            nn.init.zeros_(self.shared.weight)

    def forward(self, image_BCHW: Tensor, patches_BhwD: Tensor) -> Iterator[Tensor]:
        """One prompt B x h x w x D after the other: all at once they need as much memory as the blocks' outputs.

        `patches_BhwD` is the image's patch embedding before positions are added.
        """
        filtered_BCHW = self.filter(image_BCHW)
        pad_h, pad_w = (-side % self.patch for side in filtered_BCHW.shape[-2:])
        handcrafted_BhwR = project_patches(self.handcrafted, F.pad(filtered_BCHW, (0, pad_w, 0, pad_h)))
        code_BhwR = handcrafted_BhwR + self.embedding(patches_BhwD)
        for layer in self.private:
            yield self.shared(F.gelu(layer(code_BhwR)))
