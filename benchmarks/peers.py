"""The encoders to compare with, all around the same weights: Meta's layout, transformers eager and sdpa, timm."""

from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel

from sensam.sam.anatomy import Anatomy
from sensam.sam.attention import PATHS
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import transformers_config

Weights = dict[str, Tensor]
META, EAGER, SDPA, TIMM, OURS = "Meta layout", "transformers eager", "transformers sdpa", "timm samvit", "sensam"
PEERS = (META, EAGER, SDPA, TIMM)


def random_weights(anatomy: Anatomy) -> Weights:
    """Weights by transformers' names, of such sizes that a wrong position or bias shows."""
    dice = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in ImageEncoder(anatomy).state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=dice)
        if "norm" in name and name.endswith("weight"):
            weights[name] = 1 + 0.1 * noise
        elif len(shape) == 1 or "rel_pos" in name or "pos_embed" in name:
            weights[name] = 0.1 * noise
        else:
            weights[name] = noise / noise[0].numel() ** 0.5
    return weights


def build(name: str, anatomy: Anatomy, weights: Weights) -> nn.Module:
    """An encoder in eval mode that uses these very tensors; "sensam PATH" takes that attention path."""
    makers: dict[str, Callable[[Anatomy, Weights], nn.Module]] = {
        META: meta_layout,
        EAGER: lambda anatomy, weights: by_transformers(anatomy, weights, "eager"),
        SDPA: lambda anatomy, weights: by_transformers(anatomy, weights, "sdpa"),
        TIMM: by_timm,
        OURS: lambda anatomy, weights: ours(anatomy, weights, "auto"),
        **{f"{OURS} {path}": lambda a, w, path=path: ours(a, w, path) for path in PATHS},
    }
    return makers[name](anatomy, weights).eval()


def ours(anatomy: Anatomy, weights: Weights, path: str) -> nn.Module:
    with torch.device("meta"):
        encoder = ImageEncoder(anatomy).use_attention(path)
    encoder.load_state_dict(weights, assign=True)
    return encoder


class ByTransformers(nn.Module):
    """transformers' encoder, answering with the embedding alone."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.encoder(image_BCHW).last_hidden_state


def by_transformers(anatomy: Anatomy, weights: Weights, attention: str) -> nn.Module:
    with torch.device("meta"):
        model = AutoModel.from_config(transformers_config(anatomy).vision_config, attn_implementation=attention)
    model.vision_encoder.load_state_dict(weights, assign=True)
    return ByTransformers(model.vision_encoder)


class ByTimm(nn.Module):
    """timm's encoder up to the embedding, without its classifier."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.encoder.forward_features(image_BCHW)


def by_timm(anatomy: Anatomy, weights: Weights) -> nn.Module:
    with torch.device("meta"):
        encoder = timm.create_model(
            "samvit_base_patch16",
            img_size=anatomy.image_size,
            in_chans=anatomy.bands,
            patch_size=anatomy.patch,
            embed_dim=anatomy.width,
            depth=anatomy.depth,
            num_heads=anatomy.heads,
            window_size=anatomy.window,
            global_attn_indexes=anatomy.global_blocks,
            neck_chans=anatomy.embedding,
        )
    renamed = {name.replace("mlp.lin", "mlp.fc"): weight for name, weight in as_meta_names(weights).items()}
    encoder.load_state_dict(renamed, assign=True)
    return ByTimm(encoder)


def as_meta_names(weights: Weights) -> Weights:
    """Weights by the names of Meta's release."""
    swaps = {
        "patch_embed.projection": "patch_embed.proj",
        "layers.": "blocks.",
        "neck.conv1": "neck.0",
        "neck.layer_norm1": "neck.1",
        "neck.conv2": "neck.2",
        "neck.layer_norm2": "neck.3",
        "layer_norm": "norm",
    }
    renamed = {}
    for name, weight in weights.items():
        for ours_name, meta_name in swaps.items():
            name = name.replace(ours_name, meta_name)
        renamed[name] = weight
    return renamed


class MetaAttention(nn.Module):
    """Attention as Meta released it: all scores in memory, then all biases, added one axis after the other."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        n, h, w, D = x.shape
        qkv = self.qkv(x).reshape(n, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.reshape(3, n * self.heads, h * w, -1).unbind()
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        grid = query.reshape(n * self.heads, h, w, -1)
        rows = torch.einsum("byxd,ykd->byxk", grid, self._offsets(self.rel_pos_h, h))
        columns = torch.einsum("byxd,xkd->byxk", grid, self._offsets(self.rel_pos_w, w))
        scores = scores.view(-1, h, w, h, w) + rows[..., :, None] + columns[..., None, :]
        weights = scores.view(-1, h * w, h * w).softmax(-1)
        out = (weights @ value).view(n, self.heads, h, w, -1).permute(0, 2, 3, 1, 4)
        return self.proj(out.reshape(n, h, w, D))

    @staticmethod
    def _offsets(table: Tensor, side: int) -> Tensor:
        place = torch.arange(side, device=table.device)
        return table[place[:, None] - place[None, :] + side - 1]


class MetaBlock(nn.Module):
    """A block as Meta released it: windows are padded before anything else is computed."""

    def __init__(self, anatomy: Anatomy, window: int) -> None:
        super().__init__()
        width = anatomy.width
        self.window = window
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = MetaAttention(width, anatomy.heads, window or anatomy.grid)
        self.mlp = nn.ModuleDict({"lin1": nn.Linear(width, 4 * width), "lin2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + (self._in_windows(normed) if self.window else self.attn(normed))
        return x + self.mlp["lin2"](F.gelu(self.mlp["lin1"](self.norm2(x))))

    def _in_windows(self, x: Tensor) -> Tensor:
        B, h, w, D = x.shape
        side = self.window
        x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
        H, W = x.shape[1:3]
        windows = x.view(B, H // side, side, W // side, side, D).permute(0, 1, 3, 2, 4, 5)
        out = self.attn(windows.reshape(-1, side, side, D)).view(B, H // side, W // side, side, side, D)
        return out.permute(0, 1, 3, 2, 4, 5).reshape(B, H, W, D)[:, :h, :w]


class MetaNorm(nn.LayerNorm):
    """Meta's layer norm over channels, written out."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        x = centred / (centred.pow(2).mean(1, keepdim=True) + self.eps).sqrt()
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class MetaLayout(nn.Module):
    """SAM's image encoder in the arithmetic and order of Meta's release."""

    def __init__(self, anatomy: Anatomy) -> None:
        super().__init__()
        width, out = anatomy.width, anatomy.embedding
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(anatomy.bands, width, anatomy.patch, anatomy.patch)})
        self.pos_embed = nn.Parameter(torch.zeros(1, anatomy.grid, anatomy.grid, width))
        windows = (0 if block in anatomy.global_blocks else anatomy.window for block in range(anatomy.depth))
        self.blocks = nn.ModuleList(MetaBlock(anatomy, window) for window in windows)
        convolutions = nn.Conv2d(width, out, 1, bias=False), nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.neck = nn.Sequential(convolutions[0], MetaNorm(out, 1e-6), convolutions[1], MetaNorm(out, 1e-6))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        x = self.patch_embed["proj"](image_BCHW).permute(0, 2, 3, 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))


def meta_layout(anatomy: Anatomy, weights: Weights) -> nn.Module:
    with torch.device("meta"):
        encoder = MetaLayout(anatomy)
    encoder.load_state_dict(as_meta_names(weights), assign=True)
    return encoder
