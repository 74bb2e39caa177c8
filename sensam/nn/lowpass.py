"""The slow and the fast part of an image, told apart by a sharp cut in its spectrum; nothing here is learnt."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Frequencies = Literal["low", "high", "both"]
_SLACK = 1e-6  # cycles per pixel, so that a frequency on the cut is kept whatever its rounding


def highest(rate: float) -> float:
    """The highest frequency that is slow, in cycles per pixel."""
    return math.sqrt(rate) / 2 + _SLACK


def keep_low(image_BCHW: Tensor, rate: float) -> Tensor:
    """Frequencies up to sqrt(rate) / 2 cycles per pixel on either axis, of any number of rows and columns.

    As negative and positive frequencies are cut alike, the result is real, keeps its sign, and is linear in the image.
    """
    H, W = image_BCHW.shape[-2:]
    cut = highest(rate)
    # Written out, because exporters know Fourier transforms but not PyTorch's tables of their frequencies.
    row = torch.arange(H, device=image_BCHW.device)
    rows = torch.minimum(row, H - row) / H <= cut
    columns = torch.arange(W // 2 + 1, device=image_BCHW.device) / W <= cut
    spectrum = torch.fft.rfft2(image_BCHW) * (rows[:, None] & columns)
    return torch.fft.irfft2(spectrum, s=(H, W))


def keep_square(image_BCHW: Tensor, rate: float, *, inside: bool) -> Tensor:
    """What the authors of SAM-Adapter and CWSAM compute: magnitudes behind a square with an even number of sides.

    The square lacks the highest positive frequencies, so that the result is not real and its imaginary part is lost;
    the magnitude makes what is as much darker as another place is brighter than the mean equal to it.
    """
    H, W = image_BCHW.shape[-2:]
    half = int(math.sqrt(H * W * rate) / 2)
    square = torch.zeros(H, W, dtype=torch.bool, device=image_BCHW.device)
    # Unlike the paper: clipped to the spectrum, which on elongated images the square leaves.
    square[max(0, H // 2 - half) : H // 2 + half, max(0, W // 2 - half) : W // 2 + half] = True
    spectrum = torch.fft.fftshift(torch.fft.fft2(image_BCHW), dim=(-2, -1)) * (square == inside)
    return torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real.abs()


class FrequencyFilter(nn.Module):
    """B x C x H x W to the wanted part of it; with "both", fast and slow channels one behind the other."""

    def __init__(self, kept: Frequencies = "low", rate: float = 0.25, *, as_published: bool = False) -> None:
        super().__init__()
        self.kept, self.rate, self.as_published = kept, rate, as_published

    @property
    def parts(self) -> int:
        """How many channels come out for each that goes in."""
        return 2 if self.kept == "both" else 1

    @torch.no_grad()
    def forward(self, image_BCHW: Tensor) -> Tensor:
        C = image_BCHW.shape[1]
        if C > 1 and image_BCHW.stride(1) == 0:  # one plane expanded to several
            return self(image_BCHW[:, :1]).repeat_interleave(C, dim=1)
        with torch.autocast(image_BCHW.device.type, enabled=False):  # there is no Fourier transform in bfloat16
            exact_BCHW = image_BCHW if image_BCHW.dtype == torch.float64 else image_BCHW.float()
            return torch.cat(self._split(exact_BCHW), dim=1).to(image_BCHW.dtype)

    def _split(self, image_BCHW: Tensor) -> list[Tensor]:
        wanted = ("high", "low") if self.kept == "both" else (self.kept,)
        if self.as_published:
            return [keep_square(image_BCHW, self.rate, inside=part == "low") for part in wanted]
        low_BCHW = keep_low(image_BCHW, self.rate)
        return [low_BCHW if part == "low" else image_BCHW - low_BCHW for part in wanted]
