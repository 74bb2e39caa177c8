"""SAM's image encoder for any number of bands and any size, with the parameter names of transformers' checkpoints."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import attend_fused
from sensam.sam.positions import offsets, resample_grid


class PatchEmbed(nn.Module):
    """C bands to tokens."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        self.projection = nn.Conv2d(anatomy.bands, anatomy.width, anatomy.patch, anatomy.patch)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.projection(image_BCHW).permute(0, 2, 3, 1)


class SelfAttention(nn.Module):
    """Attention over a grid of tokens, whole or in windows."""

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        self.window, self.heads = window, anatomy.heads
        head_width = anatomy.width // anatomy.heads
        side = window or anatomy.grid
        self.qkv = nn.Linear(anatomy.width, 3 * anatomy.width)
        self.proj = nn.Linear(anatomy.width, anatomy.width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, head_width))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, head_width))

    def forward(self, x_BhwD: Tensor) -> Tensor:
        B, h, w, D = x_BhwD.shape
        side_h, side_w = (self.window, self.window) if self.window else (h, w)
        pad_h, pad_w = -h % side_h, -w % side_w
        qkv = self.qkv(F.pad(x_BhwD, (0, 0, 0, pad_w, 0, pad_h)))
        rows, columns = (h + pad_h) // side_h, (w + pad_w) // side_w
        qkv = qkv.view(B, rows, side_h, columns, side_w, 3, self.heads, D // self.heads)
        query, key, value = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(1, 3).unbind()
        grid = query.unflatten(2, (side_h, side_w))
        row_bias = torch.einsum("brhwd,hkd->brhwk", grid, offsets(self.rel_pos_h, side_h).to(query.dtype))
        column_bias = torch.einsum("brhwd,wkd->brhwk", grid, offsets(self.rel_pos_w, side_w).to(query.dtype))
        out = attend_fused(query, key, value, row_bias.flatten(2, 3), column_bias.flatten(2, 3))
        out = out.unflatten(0, (B, rows, columns)).unflatten(4, (side_h, side_w))
        out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(B, h + pad_h, w + pad_w, D)
        return self.proj(out[:, :h, :w])


class Mlp(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


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
    """Image to tokens (`tokens`) and to SAM's embedding (calling it)."""

    def __init__(self, anatomy: Anatomy, *, neck: bool = True) -> None:
        super().__init__()
        self.anatomy = anatomy
        self.patch_embed = PatchEmbed(anatomy)
        self.pos_embed = nn.Parameter(torch.zeros(1, anatomy.grid, anatomy.grid, anatomy.width))
        windows = (0 if block in anatomy.global_blocks else anatomy.window for block in range(anatomy.depth))
        self.layers = nn.ModuleList(Block(anatomy, window) for window in windows)
        self.neck = Neck(anatomy.width, anatomy.embedding) if neck else None

    def tokens(self, image_BCHW: Tensor) -> Tensor:
        """B x h x w x D, before the neck. An edge that is no multiple of the patch is padded with zeros (the mean)."""
        patch = self.anatomy.patch
        pad_h, pad_w = -image_BCHW.shape[-2] % patch, -image_BCHW.shape[-1] % patch
        x = self.patch_embed(F.pad(image_BCHW, (0, pad_w, 0, pad_h)))
        x = x + resample_grid(self.pos_embed, (x.shape[1], x.shape[2]))
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """B x E x h x w, or B x h x w x D from an encoder built without a neck."""
        tokens = self.tokens(image_BCHW)
        return tokens if self.neck is None else self.neck(tokens)
