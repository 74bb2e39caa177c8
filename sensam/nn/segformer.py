"""SegFormer through transformers: any number of bands, any size of image, optionally continuous around a panorama."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from sensam.errors import InputError, SettingsError, WeightsError, unknown

SMALLEST_SIDE = 32  # the coarsest level has one cell for so many pixels
HEAD_WIDTH = 256

_NARROW: dict[str, Any] = {"hidden_sizes": [32, 64, 160, 256], "depths": [2, 2, 2, 2]}
_WIDE: dict[str, Any] = {"hidden_sizes": [64, 128, 320, 512]}
SIZES: Mapping[str, Mapping[str, Any]] = {
    "b0": _NARROW,
    "b1": {**_WIDE, "depths": [2, 2, 2, 2]},
    "b2": {**_WIDE, "depths": [3, 4, 6, 3]},
    "b5": {**_WIDE, "depths": [3, 6, 40, 3]},
}

Levels = tuple[Tensor, ...]  # features at strides 4, 8, 16, 32


class SegFormer(nn.Module):
    """Logits at the size of the input, and the features of the four levels they come from.

    With `around` (pixels, a multiple of 32) every side sees what lies beyond the seam of a panorama, so that rolling
    the image rolls the answer.
    """

    def __init__(self, net: SegformerForSemanticSegmentation, *, around: int = 0) -> None:
        super().__init__()
        if around < 0 or around % SMALLEST_SIDE:
            raise SettingsError(f"A panorama is padded by a multiple of {SMALLEST_SIDE} columns, found {around}.")
        self.net, self.around = net, around

    @property
    def bands(self) -> int:
        """Planes of an image that it takes."""
        return int(self.net.config.num_channels)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four levels."""
        return tuple(self.net.config.hidden_sizes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What its checkpoint calls the classes, in their order."""
        names = self.net.config.id2label
        return tuple(str(names[number]) for number in sorted(names))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.analyse(image_BCHW)[0]

    def analyse(self, image_BCHW: Tensor) -> tuple[Tensor, Levels]:
        """Logits B x K x H x W, and features B x width x H / stride x W / stride (rounded up) of each level."""
        height, width = image_BCHW.shape[-2:]
        if min(height, width) < SMALLEST_SIDE:
            raise InputError(
                f"SegFormer needs at least {SMALLEST_SIDE} rows and columns, found {height} x {width}. "
                "Enlarge the image or the windows."
            )
        around = min(self.around, width // SMALLEST_SIDE * SMALLEST_SIDE)  # no image reaches round more than once
        padded = F.pad(image_BCHW, (around, around, 0, 0), mode="circular") if around else image_BCHW
        out = self.net(pixel_values=padded, output_hidden_states=True)
        logits = F.interpolate(out.logits, (height, width + 2 * around), mode="bilinear", align_corners=False)
        levels = []
        for stride, level in zip((4, 8, 16, 32), out.hidden_states, strict=True):
            first, count = around // stride, -(-width // stride)
            levels.append(level[..., first : first + count])
        return logits[..., around : around + width], tuple(levels)


def build_segformer(
    size: str, *, bands: int, classes: int, head: int = HEAD_WIDTH, around: int = 0, dropout: float = 0.0
) -> SegFormer:
    """A SegFormer of a size b0, b1, b2 or b5 with random weights.

    Nothing is dropped at random unless asked for: a compact student of soft targets is far from memorising them.
    """
    if size not in SIZES:
        raise unknown("SegFormer size", size, SIZES)
    config = SegformerConfig(
        num_channels=bands,
        num_labels=classes,
        decoder_hidden_size=head,
        num_attention_heads=[1, 2, 5, 8],
        drop_path_rate=dropout,
        classifier_dropout_prob=dropout,
        **SIZES[size],
    )
    return SegFormer(SegformerForSemanticSegmentation(config), around=around)


def load_segformer(source: str | Path) -> SegFormer:
    """A trained SegFormer by hub id or from a folder, with every weight of its head."""
    net, problems = _pretrained(source)
    if problems:
        raise WeightsError(
            f"{source} is no whole SegFormer for segmentation: {len(problems)} weights are missing or of another "
            f"shape (first: {problems[0]}). Give one that was trained to segment."
        )
    return SegFormer(net)


@torch.no_grad()
def start_from(student: SegFormer, source: str | Path) -> None:
    """Give a student the encoder of published weights (ImageNet's, or a whole SegFormer's); the head stays random.

    Where the student has other bands, the first kernel is the published one's sum over bands, spread evenly.
    """
    theirs = _pretrained(source)[0].segformer.state_dict()
    mine = student.net.segformer.state_dict()
    stem = next(name for name, weight in mine.items() if weight.ndim == 4 and weight.shape[1] == student.bands)
    if stem in theirs and theirs[stem].shape[1] != student.bands:
        mean = theirs[stem].sum(1, keepdim=True) / student.bands
        theirs[stem] = mean.repeat(1, student.bands, 1, 1)
    wrong = [name for name in mine if name not in theirs or theirs[name].shape != mine[name].shape]
    if wrong:
        raise WeightsError(
            f"The encoder of {source} does not fit this student: {len(wrong)} weights are missing or of another "
            f"shape (first: {wrong[0]}). Take the checkpoint of the student's size."
        )
    student.net.segformer.load_state_dict({name: theirs[name] for name in mine})


def _pretrained(source: str | Path) -> tuple[SegformerForSemanticSegmentation, list[str]]:
    """What transformers reads, and the weights it had to invent."""
    try:
        net, report = SegformerForSemanticSegmentation.from_pretrained(
            str(source), output_loading_info=True, use_safetensors=None, weights_only=True
        )
    except (OSError, ValueError, RuntimeError) as fault:
        line = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise WeightsError(f"{source} cannot be read as a SegFormer: {line} Give a hub id or a folder.") from fault
    if getattr(net.config, "model_type", "") != "segformer":
        raise WeightsError(f"{source} holds a {net.config.model_type}, not a SegFormer.")
    return net, sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
