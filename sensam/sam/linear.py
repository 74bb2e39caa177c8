"""Linear layers that take the processor's fastest exact matrix product."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.sam.derived import Derived

AVX512 = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
FEWEST_ROWS = 64  # below, a product costs less than the detour


def multiply(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """`F.linear`; in float32 on CPUs with AVX-512 as a 1 x 1 convolution.

    PyTorch hands a float32 matrix product to MKL, which keeps to AVX2 on processors that are not Intel's, and a
    convolution to oneDNN, which uses the registers that are there: twice as fast, forward and backward.
    """
    images = _images(x) if _float32_on_avx512(x, weight_OI) else 0
    if not images:
        return F.linear(x, weight_OI, bias_O)
    image_BIhw = x.reshape(images, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    product_BOhw = F.conv2d(image_BIhw, weight_OI[:, :, None, None], bias_O)
    return product_BOhw.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _float32_on_avx512(x: Tensor, weight: Tensor) -> bool:
    return AVX512 and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32


def _images(x: Tensor) -> int:
    """Into how many images the rows of `x` divide; PyTorch gives oneDNN single-threaded work from 16 images on."""
    rows = x.numel() // x.shape[-1]
    return next((n for n in range(16, 65) if rows % n == 0), 0) if rows >= FEWEST_ROWS else 0


def to_dtype(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight in another precision."""
    return weight.to(dtype)


class Linear(nn.Linear):
    """`nn.Linear` by `multiply`; under autocast in inference its weight is converted once, until it is dropped."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.converted = Derived(to_dtype)

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return multiply(x, self.weight, self.bias)
        if torch.is_grad_enabled():
            return super().forward(x)
        dtype = torch.get_autocast_dtype(kind)
        return F.linear(x, self.converted(self.weight, dtype), self.bias)


def drop_converted(module: nn.Module) -> None:
    """Give back the memory of converted weights; the next call converts them again."""
    for part in module.modules():
        if isinstance(part, Linear):
            part.converted.forget()
