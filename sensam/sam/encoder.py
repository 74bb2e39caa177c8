"""SAM's image encoder for any number of bands and any size, with the parameter names of transformers' checkpoints."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sensam.patches import project_patches
from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import attention_path
from sensam.sam.derived import Derived
from sensam.sam.linear import Linear, drop_converted
from sensam.sam.piecewise import by_rows
from sensam.sam.positions import resample_grid
from sensam.sam.windows import SelfAttention

MANY_TOKENS = 4096  # of a batch: from here on products take so long that weights may be converted for each of them


class PatchEmbed(nn.Module):
    """C bands to tokens."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        self.projection = nn.Conv2d(anatomy.bands, anatomy.width, anatomy.patch, anatomy.patch)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return project_patches(self.projection, image_BCHW)


class Mlp(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = Linear(width, 4 * width), Linear(4 * width, width)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        return by_rows(lambda x: self.lin2(F.gelu(self.lin1(x))), x_BhwD)


class Block(nn.Module):
    """Attention and MLP, each on a normalised branch."""

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(anatomy.width, eps=1e-6)
        self.attn = SelfAttention(anatomy, window)
        self.layer_norm2 = nn.LayerNorm(anatomy.width, eps=1e-6)
        self.mlp = Mlp(anatomy.width)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        x_BhwD = x_BhwD + self.attn(self.layer_norm1(x_BhwD))
        return x_BhwD + self.mlp(self.layer_norm2(x_BhwD))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a B x E x h x w map."""

    def forward(self, x_BEhw: Tensor) -> Tensor:
        return super().forward(x_BEhw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Neck(nn.Module):
    """Tokens to the image embedding the mask decoder reads."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, embedding, 1, bias=False)
        self.layer_norm1 = ChannelNorm(embedding, eps=1e-6)
        self.conv2 = nn.Conv2d(embedding, embedding, 3, padding=1, bias=False)
        self.layer_norm2 = ChannelNorm(embedding, eps=1e-6)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        x = self.layer_norm1(self.conv1(x_BhwD.permute(0, 3, 1, 2)))
        return self.layer_norm2(self.conv2(x))


class ImageEncoder(nn.Module):
    """Image to tokens (`tokens`) and to SAM's embedding (calling it).

    With `checkpointing` the backward pass computes each block's activations again instead of keeping them.
    """

    def __init__(self, anatomy: Anatomy, *, neck: bool = True) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.checkpointing = False
        self.patch_embed = PatchEmbed(anatomy)
        self.pos_embed = nn.Parameter(torch.zeros(1, anatomy.grid, anatomy.grid, anatomy.width))
        windows = (0 if block in anatomy.global_blocks else anatomy.window for block in range(anatomy.depth))
        self.layers = nn.ModuleList(Block(anatomy, window) for window in windows)
        self.neck = Neck(anatomy.width, anatomy.embedding) if neck else None
        self.positions = Derived(resample_grid)

    def use_attention(self, name: str) -> Self:
        """Take one path (`sensam.sam.attention.PATHS`) in every block; "auto" at first."""
        path = attention_path(name)
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.attend = path
        return self

    def tokens(self, image_BCHW: Tensor) -> Tensor:
        """B x h x w x D, before the neck. An edge that is no multiple of the patch is padded with zeros (the mean)."""
        patch = self.anatomy.patch
        pad_h, pad_w = -image_BCHW.shape[-2] % patch, -image_BCHW.shape[-1] % patch
        x = self.patch_embed(F.pad(image_BCHW, (0, pad_w, 0, pad_h)))
        x = (x + self.positions(self.pos_embed, (x.shape[1], x.shape[2]))).contiguous()
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
                if not torch.compiler.is_compiling() and x.shape[:3].numel() >= MANY_TOKENS:
                    drop_converted(layer)  # half as large as the weights: what a large image needs besides is no more
        return x

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """B x E x h x w, or B x h x w x D from an encoder built without a neck."""
        tokens = self.tokens(image_BCHW)
        return tokens if self.neck is None else self.neck(tokens)
