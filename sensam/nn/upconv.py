"""The light up-convolution decoder: an image embedding to class logits at full resolution, without skips."""

from itertools import pairwise

from torch import Tensor, nn

from sensam.errors import SettingsError

_WIDTHS = (256, 128, 64, 64)  # after each doubling; a patch of 16 pixels takes four
_LAST = 32


class Doubling(nn.Sequential):
    """Twice as many rows and columns, computed at a quarter of the width."""

    def __init__(self, width: int, out: int) -> None:
        narrow = width // 4
        super().__init__(
            nn.Conv2d(width, narrow, 1),
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(narrow, narrow, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, out, 1),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )


class UpConvDecoder(nn.Module):
    """Embedding B x E x h x w to logits B x K x H x W, H = h * patch: one doubling for each power of two in a patch."""

    def __init__(self, embedding: int, classes: int, patch: int = 16) -> None:
        super().__init__()
        doublings = patch.bit_length() - 1
        if patch < 2 or patch != 1 << doublings:
            raise SettingsError(
                f"This decoder doubles its size; a patch must be 2, 4, 8, 16, ... pixels, found {patch}."
            )
        early = (_WIDTHS[0],) * max(0, doublings - len(_WIDTHS))
        widths = (embedding, *early, *_WIDTHS[-doublings:])
        self.doublings = nn.Sequential(*(Doubling(width, out) for width, out in pairwise(widths)))
        self.refine = nn.Sequential(
            nn.ConvTranspose2d(_WIDTHS[-1], _LAST, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(_LAST, _LAST, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classify = nn.Conv2d(_LAST, classes, 3, padding=1)

    def forward(self, embedding_BEhw: Tensor) -> Tensor:
        return self.classify(self.refine(self.doublings(embedding_BEhw)))
