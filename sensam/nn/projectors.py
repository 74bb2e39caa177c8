"""Every way from C bands to SAM's tokens that SimMAT compares, by name: `mat_conv`, `preconv(3,2,64)`, ..."""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.errors import SettingsError, unknown
from sensam.nn.mat import MatConv, MatGated, Projector
from sensam.nn.wrapping import Wrapped
from sensam.patches import project_patches

HEADS = 8  # of preattn


class NewPatchEmbed(Projector):
    """A patch embedding for C bands, random; SAM's own is left unused."""

    uses_patches = False

    def __init__(self, bands: int, patches: nn.Conv2d) -> None:
        super().__init__()
        side = patches.kernel_size[0]
        self.projection = nn.Conv2d(bands, patches.out_channels, side, side)

    def forward(self, image_BCHW: Tensor, patches: nn.Module) -> Tensor:  # noqa: ARG002 - left unused
        return project_patches(self.projection, image_BCHW)


class Linear(Projector):
    """A weighted sum of the bands in every pixel, then SAM's own patch embedding."""

    def __init__(self, bands: int, out: int) -> None:
        super().__init__()
        self.mix: nn.Module = nn.Conv2d(bands, out, 1)

    def colours(self, image_BCHW: Tensor) -> Tensor:
        return self.mix(image_BCHW)


class LinearTuned(Linear):
    """A weighted sum, then a copy of SAM's patch embedding that always learns."""

    uses_patches = False

    def __init__(self, bands: int, patches: nn.Conv2d) -> None:
        super().__init__(bands, patches.in_channels)
        self.projection = deepcopy(patches)

    def forward(self, image_BCHW: Tensor, patches: nn.Module) -> Tensor:  # noqa: ARG002 - its own stands for it
        return project_patches(self.projection, self.colours(image_BCHW))


class MlpTuned(LinearTuned):
    """Two layers with a ReLU, then a copy of SAM's patch embedding that always learns."""

    def __init__(self, bands: int, patches: nn.Conv2d, *, legacy: bool) -> None:
        super().__init__(bands, patches)
        # The authors pad the 1 x 1 convolution as well: the image grows by a pixel all around and moves by one.
        last = nn.Conv2d(4 * bands, patches.in_channels, 1, padding=1 if legacy else 0)
        self.mix = nn.Sequential(nn.Conv2d(bands, 4 * bands, 3, padding=1), nn.ReLU(), last)


class LinearRandom(Linear):
    """A weighted sum, then a random patch embedding that never learns; saved, so that loading gives the same."""

    uses_patches = False
    weight: Tensor
    bias: Tensor

    def __init__(self, bands: int, patches: nn.Conv2d) -> None:
        super().__init__(bands, patches.in_channels)
        self.side = patches.kernel_size[0]
        drawn = nn.Conv2d(patches.in_channels, patches.out_channels, self.side)
        for name, values in drawn.named_parameters():
            self.register_buffer(name, values.detach().clone())

    def forward(self, image_BCHW: Tensor, patches: nn.Module) -> Tensor:  # noqa: ARG002 - the random one stands for it
        tokens_BDhw = F.conv2d(self.colours(image_BCHW), self.weight, self.bias, self.side)
        return tokens_BDhw.permute(0, 2, 3, 1)


class Convolutions(Projector):
    """`layers` convolutions: kernel x kernel to `width` channels, the last of several 1 x 1."""

    def __init__(self, bands: int, out: int, kernel: int, layers: int, width: int, *, legacy: bool) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise SettingsError(f"preconv needs an odd kernel to keep the size, found {kernel}.")
        same = partial(nn.Conv2d, kernel_size=kernel, padding=kernel // 2)
        widths = [bands, *[width] * (layers - 1)]
        hidden: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            # The authors leave the first convolution without a ReLU: two layers are then a linear map.
            hidden += [same(inputs, outputs)] if legacy and number == 0 else [same(inputs, outputs), nn.ReLU()]
        self.convolutions = nn.Sequential(*hidden, same(bands, out) if layers == 1 else nn.Conv2d(width, out, 1))

    def colours(self, image_BCHW: Tensor) -> Tensor:
        return self.convolutions(image_BCHW)


class Attentions(Projector):
    """Patches, blocks of global attention without positions, and back to pixels."""

    def __init__(self, bands: int, out: int, patch: int, layers: int, width: int, *, legacy: bool) -> None:
        super().__init__()
        if width % HEADS:
            raise SettingsError(f"preattn has {HEADS} heads, which do not divide a width of {width}.")
        self.patch, self.legacy = patch, legacy
        self.embed = nn.Conv2d(bands, width, patch, patch)
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(layers)))
        self.paint = nn.Linear(width, out * patch * patch)

    def colours(self, image_BCHW: Tensor) -> Tensor:
        rows, columns = image_BCHW.shape[-2:]
        padded = F.pad(image_BCHW, (0, -columns % self.patch, 0, -rows % self.patch))
        tokens_BhwD = project_patches(self.embed, padded)
        h, w = tokens_BhwD.shape[1:3]
        tokens_BTD = self.blocks(tokens_BhwD.flatten(1, 2))
        image = unpatchify(self.paint(tokens_BTD).unflatten(1, (h, w)), self.patch, legacy=self.legacy)
        return image[..., :rows, :columns]


def unpatchify(painted_Bhwp: Tensor, patch: int, *, legacy: bool = False) -> Tensor:
    """B x h x w x (K patch patch) to the image B x K x H x W whose patches these are.

    The authors' rows of patches and rows of pixels change places, so that a patch's numbers land in others.
    """
    B, h, w, _ = painted_Bhwp.shape
    blocks_BhwKpp = painted_Bhwp.unflatten(-1, (-1, patch, patch))
    order = (0, 3, 1, 2, 4, 5) if legacy else (0, 3, 1, 4, 2, 5)
    return blocks_BhwKpp.permute(order).reshape(B, -1, h * patch, w * patch)


class ZeroShot(Projector):
    """Nothing to learn: the last band repeated where there are too few, the first bands alone where too many."""

    sees = "the first bands only"

    def __init__(self, out: int) -> None:
        super().__init__()
        self.out = out

    def colours(self, image_BCHW: Tensor) -> Tensor:
        missing = max(0, self.out - image_BCHW.shape[1])
        return torch.cat([image_BCHW[:, : self.out], *[image_BCHW[:, -1:]] * missing], 1)


class Projected(Wrapped):
    """A patch embedding with a projector before it."""

    part: Projector

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.part(image_BCHW, self.host)


class _Block(nn.Module):
    """A plain transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(x_BTD)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen_BTD = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x_BTD = x_BTD + self.out(seen_BTD)
        return x_BTD + self.mlp(self.norm2(x_BTD))


Build = Callable[[int, nn.Conv2d, tuple[int, ...], bool], Projector]

# Bands, SAM's patch embedding, the numbers in brackets, whether as the authors ran it.
PROJECTORS: Mapping[str, Build] = {
    "mat_conv": lambda bands, patches, *_: MatConv(bands, patches.in_channels),
    "mat_gated": lambda bands, patches, *_: MatGated(bands, patches),
    "new_patch_embed": lambda bands, patches, *_: NewPatchEmbed(bands, patches),
    "linear_tuned_pe": lambda bands, patches, *_: LinearTuned(bands, patches),
    "mlp_tuned_pe": lambda bands, patches, _, legacy: MlpTuned(bands, patches, legacy=legacy),
    "linear_frozen_pe": lambda bands, patches, *_: Linear(bands, patches.in_channels),
    "linear_random_pe": lambda bands, patches, *_: LinearRandom(bands, patches),
    "preconv": lambda bands, patches, sizes, legacy: Convolutions(bands, patches.in_channels, *sizes, legacy=legacy),
    "preattn": lambda bands, patches, sizes, legacy: Attentions(bands, patches.in_channels, *sizes, legacy=legacy),
    "zeroshot": lambda _bands, patches, *_: ZeroShot(patches.in_channels),
}
DEFAULTS: Mapping[str, tuple[int, int, int]] = {"preconv": (3, 3, 64), "preattn": (16, 1, 64)}


def parse_projector(text: str) -> tuple[str, tuple[int, ...]]:
    """The name, and the numbers of `preconv(kernel,layers,width)` and `preattn(patch,layers,width)`."""
    match = re.fullmatch(r"(\w+)(?:\((\d+),(\d+),(\d+)\))?", text.replace(" ", ""))
    name = match[1] if match else text
    if match is None or name not in PROJECTORS:
        raise unknown("projector", name, PROJECTORS)
    if match[2] is None:
        return name, DEFAULTS.get(name, ())
    if name not in DEFAULTS:
        raise SettingsError(f"Projector {name} takes no numbers, found {text}. Only {' and '.join(DEFAULTS)} do.")
    numbers = tuple(int(number) for number in match.groups()[1:])
    if min(numbers) < 1:
        raise SettingsError(f"The numbers of {text} must be at least 1.")
    return name, numbers


def build_projector(text: str, bands: int, patches: nn.Conv2d, *, legacy: bool = False) -> Projector:
    """A projector by its name; `legacy` builds it as its authors ran it, with what is wrong about it."""
    name, numbers = parse_projector(text)
    return PROJECTORS[name](bands, patches, numbers, legacy)
