"""The network with its scaling inside, as other programs run it: stored numbers / 255 in, probabilities out."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.errors import InputError, SensamError
from sensam.infer.locate import locate
from sensam.infer.onnx_network import line_of
from sensam.infer.scene import Scene
from sensam.infer.segmenter import Segmenter
from sensam.sam.attention import attention_path
from sensam.sam.linear import Linear
from sensam.sam.windows import SelfAttention

TOLERANCE = 1e-3  # of a probability
TILES = 4  # of each scene, when an export is compared


class Graph(nn.Module):
    """What is exported, with a rendering of the network that exporters understand."""

    def __init__(self, segmenter: Segmenter, render: Callable[[nn.Module], nn.Module] | None = None) -> None:
        super().__init__()
        gain, bias = line_of(segmenter.sensor)
        self.network = (render or portable)(segmenter.network)
        self.register_buffer("gain_C11", torch.tensor(gain)[:, None, None])
        self.register_buffer("bias_C11", torch.tensor(bias)[:, None, None])

    def forward(self, image_BCHW: Tensor) -> Tensor:
        normalised = image_BCHW * self.get_buffer("gain_C11") + self.get_buffer("bias_C11")
        return self.network(normalised).softmax(1)


def portable(network: nn.Module) -> nn.Module:
    """A copy on the CPU with attention written out and plain linear layers.

    Our fast attention is made of operations no other program knows, and our linear layers choose their way by how many
    rows there are, which a tracer would settle for one size of batch.
    """
    copy = deepcopy(network).eval().cpu()
    for module in list(copy.modules()):
        if isinstance(module, SelfAttention):
            module.attend = attention_path("explicit")
        for name, child in list(module.named_children()):
            if isinstance(child, Linear):
                setattr(module, name, _plain(child))
    return copy


def _plain(linear: Linear) -> nn.Linear:
    plain = nn.Linear(linear.in_features, linear.out_features, device="meta")
    plain.weight, plain.bias = linear.weight, linear.bias
    return plain


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an export's probabilities are from the model's on the same tiles, and how often the class is the same."""

    largest: float
    mean: float
    agreement: float  # share of pixels
    tiles: int
    are_real: bool  # from scenes; else random numbers around the mean

    def __str__(self) -> str:
        kind = "tiles of your scenes" if self.are_real else "random tiles (give --scene for real ones)"
        return (
            f"difference of probabilities on {self.tiles} {kind}: largest {self.largest:.2e}, mean {self.mean:.2e}; "
            f"the same class in {self.agreement:.2%} of pixels"
        )


class ToleranceError(SensamError):
    """An export that does not compute what the model computes."""


def sample_tiles(segmenter: Segmenter, scenes: Sequence[str], side: int) -> tuple[NDArray[np.float32], bool]:
    """Normalised tiles N x C x H x W to compare on, and whether they come from scenes."""
    tiles: list[NDArray[np.float32]] = []
    for name in scenes:
        scene = Scene(locate(name, segmenter.sensor), segmenter.sensor)
        rows, columns = (max(0, length - side) for length in scene.size)
        for number in range(TILES):
            part = number / max(1, TILES - 1)
            pixels_CHW, valid_HW = scene.read((round(part * rows), round(part * columns), side, side))
            if valid_HW.any():
                tiles.append(pixels_CHW)
    if scenes and not tiles:
        raise InputError(f"No tile of {', '.join(scenes)} has a valid pixel to compare on. Give another scene.")
    if tiles:
        return np.stack(tiles), True
    random = np.random.default_rng(0)
    coarse = random.normal(size=(TILES, len(segmenter.sensor.bands), side // 8 + 1, side // 8 + 1))
    smooth = np.kron(coarse, np.ones((8, 8)))[..., :side, :side]
    return smooth.astype(np.float32), False


@torch.inference_mode()
def compare(model: Segmenter, exported: Segmenter, tiles_NCHW: NDArray[np.float32], *, are_real: bool) -> Difference:
    """Both on the same tiles, one at a time."""
    largest, total, same = 0.0, 0.0, 0.0
    for tile_CHW in tiles_NCHW:
        image = torch.from_numpy(tile_CHW)[None]
        mine, its = (one.logits(image).float().softmax(1) for one in (model, exported))
        apart = (mine - its).abs()
        largest = max(largest, apart.max().item())
        total += apart.mean().item()
        same += (mine.argmax(1) == its.argmax(1)).float().mean().item()
    count = len(tiles_NCHW)
    return Difference(largest, total / count, same / count, count, are_real)


def refuse_beyond(difference: Difference, tolerance: float, path: Path) -> None:
    """Fail, so that what is being written there does not come into its place."""
    if not difference.largest <= tolerance:
        raise ToleranceError(
            f"{path.name} differs from the model by {difference.largest:.2e} at most, more than {tolerance:g}; it was "
            "thrown away. Raise --tolerance only if you know why."
        )
