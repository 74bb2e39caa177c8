"""What E2SAM and its baselines share, so that only their encoders differ: decoder, loss, rates and budget.

image B x C x H x W -> encoder (patches, blocks, neck) -> embedding -> up-convolution decoder -> logits B x K x H x W
"""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Losses, MethodConfig, Moment, Stage, Task
from sensam.nn.losses import MapLoss, class_map_loss
from sensam.nn.upconv import UpConvDecoder
from sensam.sam.encoder import ImageEncoder
from sensam.types import Batch


class SegmentingConfig(MethodConfig):
    """Settings of learning from class maps, the same for every method that is compared."""

    loss: MapLoss = "ce"
    class_weights: tuple[PositiveFloat, ...] | None = None  # in the order of the classes
    encoder_rate: float = Field(default=0.5, ge=0)  # of the rate of neck and decoder; 0 freezes the encoder

    paper_budget: ClassVar[dict[str, float]] = {"rate": 1e-4, "weight_decay": 0.05, "epochs": 100, "batch_size": 2}


class SegmentingNet(nn.Module):
    """An image encoder with SAM's neck, and the light decoder that every one of these methods ends in."""

    def __init__(self, encoder: ImageEncoder, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = UpConvDecoder(encoder.anatomy.embedding, classes, encoder.anatomy.patch)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits at the size of the input: what the encoder padded is cropped away again."""
        rows, columns = image_BCHW.shape[-2:]
        return self.decoder(self.encoder(image_BCHW))[..., :rows, :columns]


def fresh_encoder(task: Task, bands: int | None = None) -> ImageEncoder:
    """An encoder shaped like the task's SAM, for the sensor's bands, with random weights and zero position tables."""
    return ImageEncoder(replace(task.sam.anatomy, bands=bands or task.bands))


def finetune_stage(
    task: Task, config: SegmentingConfig, logits: Callable[[Tensor], Tensor], *, encoder: str, others: tuple[str, ...]
) -> Stage:
    """Learning from class maps: everything moves, the encoder named by the prefix slower than neck and decoder."""
    rates = {f"{encoder}.neck.*": 1.0, f"{encoder}.*": config.encoder_rate, **dict.fromkeys(others, 1.0)}
    return Stage("finetune", map_loss(task, config, logits), rates, settings=config.paper_budget)


def map_loss(
    task: Task, config: SegmentingConfig, logits: Callable[[Tensor], Tensor]
) -> Callable[[Batch, Moment], Losses]:
    """The configured loss of class maps against labels."""
    weights = config.class_weights
    if weights is not None and len(weights) != len(task.classes):
        raise SettingsError(f"class_weights holds {len(weights)} numbers, there are {len(task.classes)} classes.")

    def loss(batch: Batch, _: Moment) -> Losses:
        if batch.label_BHW is None:
            raise SettingsError("Fine-tuning learns from labels and this split has none. Choose a split with masks.")
        weights_K = None if weights is None else torch.tensor(weights, device=batch.label_BHW.device)
        found = logits(batch.image_BCHW)
        return {"loss": class_map_loss(config.loss, found, batch.label_BHW, ignore=task.ignore, weights_K=weights_K)}

    return loss
