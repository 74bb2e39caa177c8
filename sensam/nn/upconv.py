"""The light up-convolution decoder: an image embedding to class logits at full resolution, without skips.

embedding B x E x h x w -> doublings -> refine -> B x 32 x H x W -> classify -> logits B x K x H x W
with detail:                 image B x C x H x W -> detail -^  added
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
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


class Detail(nn.Sequential):
    """What patches blur: every pixel's bands with those around it, 7 x 7, at full resolution."""

    def __init__(self, bands: int) -> None:
        layers: list[nn.Module] = []
        for width in (bands, _LAST, _LAST):
            layers += [nn.Conv2d(width, _LAST, 3, padding=1, bias=False), nn.BatchNorm2d(_LAST), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class UpConvDecoder(nn.Module):
    """Embedding B x E x h x w to logits B x K x H x W, H = h * patch: one doubling for each power of two in a patch.

    With `detail` in so many bands it also reads the image, which may end before the last patch does.
    """

    def __init__(self, embedding: int, classes: int, patch: int = 16, *, detail: int | None = None) -> None:
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
        with torch.random.fork_rng(devices=[]):  # drawn aside: all other weights, also later ones, are as without it
            self.detail = Detail(detail) if detail else None

    def forward(self, embedding_BEhw: Tensor, image_BCHW: Tensor | None = None) -> Tensor:
        refined_BRHW = self.refine(self.doublings(embedding_BEhw))
        if self.detail is not None:
            assert image_BCHW is not None
            (rows, columns), (all_rows, all_columns) = image_BCHW.shape[2:], refined_BRHW.shape[2:]
            seen_BRHW = F.pad(self.detail(image_BCHW), (0, all_columns - columns, 0, all_rows - rows))
            refined_BRHW = refined_BRHW + seen_BRHW
        return self.classify(refined_BRHW)
