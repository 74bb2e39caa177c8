"""SimMAT's transfer layer: C bands to the three that SAM's patch embedding knows, in its plain and its gated form."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 64


class Projector(nn.Module):
    """What stands before (or in the place of) a patch embedding: image B x C x H x W -> tokens B x h x w x D."""

    sees = "every band"
    uses_patches = True  # SAM's own patch embedding; without it, it need not learn either

    def forward(self, image_BCHW: Tensor, patches: nn.Module) -> Tensor:
        """Tokens, through the patch embedding that SAM brought along."""
        return patches(self.colours(image_BCHW))

    def colours(self, image_BCHW: Tensor) -> Tensor:
        """The image as bands that the patch embedding knows."""
        raise NotImplementedError(f"{type(self).__name__} makes tokens without such an image")


class MatConv(Projector):
    """Two 3 x 3 convolutions with 64 channels between them, at full resolution: 576 C + 1795 parameters."""

    def __init__(self, bands: int, out: int = 3) -> None:
        super().__init__()
        self.widen = nn.Conv2d(bands, HIDDEN, 3, padding=1)
        self.narrow = nn.Conv2d(HIDDEN, out, 3, padding=1)

    def colours(self, image_BCHW: Tensor) -> Tensor:
        return self.narrow(F.relu(self.widen(image_BCHW)))

    @torch.no_grad()
    def keep(self, bands: Sequence[int], gain_K: Tensor, offset_K: Tensor) -> None:
        """Start as gain * band + offset of the named bands; every hidden channel can still learn.

        A ReLU keeps a number and its negative in two channels; the others start without a voice.
        """
        pairs = 2 * len(bands)
        self.widen.weight[:pairs] = 0
        self.widen.bias[:pairs] = 0  # type: ignore[index]  # this convolution has a bias
        self.narrow.weight.zero_()
        for colour, band in enumerate(bands):
            for channel, sign in ((2 * colour, 1), (2 * colour + 1, -1)):
                self.widen.weight[channel, band, 1, 1] = sign
                self.narrow.weight[colour, channel, 1, 1] = sign * gain_K[colour]
        self.narrow.bias.copy_(offset_K)  # type: ignore[union-attr]  # so has this one


class MatGated(Projector):
    """A gate shares every band between SAM's patch embedding and kernels of its own, which are silent at first."""

    def __init__(self, bands: int, patches: nn.Conv2d) -> None:
        super().__init__()
        self.bands = bands
        self.gate = nn.Sequential(
            nn.Conv2d(bands, 4 * bands, 3, padding=1),
            _BandNorm(4 * bands, eps=1e-6),
            nn.ReLU(),
            nn.Conv2d(4 * bands, bands, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Sigmoid(),
        )
        self.known = nn.Conv2d(bands, patches.in_channels, 1)
        side = patches.kernel_size[0]
        self.novel = nn.Conv2d(bands, bands * patches.out_channels, side, side, groups=bands)
        self.mix = nn.Linear(bands, 1, bias=False)
        with torch.no_grad():
            self.novel.weight.copy_(patches.weight.sum(1, keepdim=True).repeat(bands, 1, 1, 1))
            self.novel.bias.copy_(patches.bias.repeat(bands))  # type: ignore[union-attr]  # both have a bias
            self.mix.weight.zero_()

    def colours(self, image_BCHW: Tensor) -> Tensor:
        """What the known branch shows to SAM's patch embedding."""
        return self.known(image_BCHW * self.gate(image_BCHW))

    def forward(self, image_BCHW: Tensor, patches: nn.Module) -> Tensor:
        share_BC11 = self.gate(image_BCHW)
        known_BhwD = patches(self.known(image_BCHW * share_BC11))
        novel_BCDhw = self.novel(image_BCHW * (1 - share_BC11)).unflatten(1, (self.bands, -1))
        return known_BhwD + self.mix(novel_BCDhw.permute(0, 3, 4, 2, 1)).squeeze(-1)


class _BandNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
