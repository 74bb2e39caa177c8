"""What CWSAM is measured against: a linear probe, full fine-tuning under the same head, and a plain rendering of it."""

from copy import deepcopy
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from peers import MetaLayout, meta_layout, random_weights
from torch import Tensor, nn

from sensam.methods.base import Losses, Method, MethodConfig, Moment, Stage, Task
from sensam.methods.cwsam import Cwsam, CwsamConfig, cross_entropy_per_pixel
from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch


class Judged(Method):
    """Class maps from whatever `forward` says, by CWSAM's loss without weights."""

    Config = MethodConfig
    learns: ClassVar[dict[str, float]]

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage("learn", self._loss, self.learns),)

    def _loss(self, batch: Batch, _: Moment) -> Losses:
        assert batch.label_BHW is not None
        return {"loss": cross_entropy_per_pixel(self(batch.image_BCHW), batch.label_BHW, self.task.ignore)}


class LinearProbe(Judged):
    """The frozen SAM's embedding, and one linear layer on it."""

    paper = "baseline"
    learns: ClassVar[dict[str, float]] = {"classify.*": 1.0}

    def __init__(self, task: Task, config: MethodConfig) -> None:
        super().__init__(task, config)
        frozen = Cwsam(task, CwsamConfig(adapters=False, frequencies="none"))
        self.stem, self.encoder = frozen.stem, frozen.encoder
        self.classify = nn.Conv2d(task.sam.anatomy.embedding, len(task.classes), 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        rows, columns = image_BCHW.shape[-2:]
        logits_BKhw = self.classify(self.encoder(self.stem(image_BCHW)))
        return F.interpolate(logits_BKhw, scale_factor=self.task.sam.anatomy.patch, mode="bilinear")[
            ..., :rows, :columns
        ]


class FullTuning(Judged):
    """CWSAM without anything around the encoder, which learns instead; the head is the same."""

    paper = "baseline"
    learns: ClassVar[dict[str, float]] = {
        "net.decoder.mask_decoder.output_hypernetworks_mlps.[123].*": 0.0,
        "net.decoder.mask_decoder.iou_prediction_head.*": 0.0,
        "net.*": 1.0,
    }

    def __init__(self, task: Task, config: MethodConfig) -> None:
        super().__init__(task, config)
        own = replace(task, sam=deepcopy(task.sam))  # memory that may be written
        self.net = Cwsam(own, CwsamConfig(adapters=False, frequencies="none"))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(image_BCHW)


class WithAdapter(nn.Module):
    """An attention with an adapter behind it, run window by window, padding and all."""

    def __init__(self, attention: nn.Module, width: int) -> None:
        super().__init__()
        self.attention, self.adapter = attention, plain_adapter(width)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attention(x)
        return attended + self.adapter(attended)


class PlainEncoder(nn.Module):
    """The authors' encoder in their order of work: Meta's layout, three equal planes transformed in complex numbers
    for a low and an unused high pass, every prompt made before the first block, every block's output kept."""

    def __init__(self, anatomy: Anatomy, *, prompts: bool) -> None:
        super().__init__()
        self.inner: MetaLayout = meta_layout(anatomy, random_weights(anatomy))
        self.inner.requires_grad_(False)
        width, narrow = anatomy.width, anatomy.width // 32
        for block in self.inner.blocks:
            block.attn = WithAdapter(block.attn, width)
        self.beside = nn.ModuleList(plain_adapter(width) for _ in self.inner.blocks)
        self.handcrafted = nn.Conv2d(3, narrow, anatomy.patch, anatomy.patch) if prompts else None
        self.embedding = nn.Linear(width, narrow)
        self.private = nn.ModuleList(nn.Linear(narrow, narrow) for _ in self.inner.blocks)
        self.shared = nn.Linear(narrow, width)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        inner = self.inner
        patches = inner.patch_embed["proj"](image_BCHW).permute(0, 2, 3, 1)
        prompts = self._prompts(image_BCHW, patches) if self.handcrafted else [0.0] * len(inner.blocks)
        x, kept = patches + inner.pos_embed, []
        for block, beside, prompt in zip(inner.blocks, self.beside, prompts, strict=True):
            x = x + prompt
            normed = block.norm1(x)
            x = x + (block._in_windows(normed) if block.window else block.attn(normed))
            normed = block.norm2(x)
            x = x + block.mlp["lin2"](F.gelu(block.mlp["lin1"](normed))) + 0.5 * beside(normed)
            kept.append(x)
        return inner.neck(x.permute(0, 3, 1, 2))

    def _prompts(self, image_BCHW: Tensor, patches: Tensor) -> list[Tensor]:
        side = image_BCHW.shape[-1]
        mask = torch.zeros(side, side)
        mask[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
        spectrum = torch.fft.fftshift(torch.fft.fft2(image_BCHW, norm="forward"))
        low, _ = (
            torch.fft.ifft2(torch.fft.ifftshift(spectrum * part), norm="forward").real.abs()
            for part in (mask, 1 - mask)
        )
        code = self.handcrafted(low).permute(0, 2, 3, 1) + self.embedding(patches)
        return [self.shared(F.gelu(layer(code))) for layer in self.private]


class PlainCwsam(nn.Module):
    """That encoder under the class-wise decoder, which is ours: it is not what differs."""

    def __init__(self, task: Task, *, prompts: bool) -> None:
        super().__init__()
        self.encoder = PlainEncoder(task.sam.anatomy, prompts=prompts)
        self.decoder = Cwsam(task, CwsamConfig(adapters=False, frequencies="none")).decoder
        self.patch = task.sam.anatomy.patch

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return F.interpolate(self.decoder(self.encoder(image_BCHW)), image_BCHW.shape[-2:], mode="bilinear")


def plain_adapter(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width // 4), nn.GELU(), nn.Linear(width // 4, width))


def vit_b_task(size: int, classes: int, sensor: Sensor) -> Task:
    """A ViT-B with random weights, trained for this size as far as its tables go."""
    names = tuple(f"class {number}" for number in range(classes))
    return Task(sensor, names, Sam(replace(anatomy("b"), image_size=size)), size=size)
