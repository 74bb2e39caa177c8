"""What E2SAM and its baselines share, so that only their encoders differ: decoder, loss, rates and budget.

image B x C x H x W -> encoder (patches, blocks, neck) -> embedding -> up-convolution decoder -> logits B x K x H x W
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Loss, Losses, Mass, MethodConfig, Moment, Stage, Task
from sensam.nn.losses import MapLoss, class_map_loss, mass
from sensam.nn.missing import drop_bands
from sensam.nn.upconv import UpConvDecoder
from sensam.sam.encoder import ImageEncoder
from sensam.types import Batch

TRIPLES, NOISE, ABSENCE = range(3)  # separate random numbers, so that one setting does not disturb another
# Of fine-tuning, section 4.1.
BUDGET = {"epochs": 100, "batch": 2, "rate": 1e-4, "least_rate": 0.0, "weight_decay": 0.05}


class MapConfig(MethodConfig):
    """Settings of learning from class maps, the same for every method that is compared."""

    loss: MapLoss = "ce"
    class_weights: tuple[PositiveFloat, ...] | None = None  # in the order of the classes
    encoder_rate: float = Field(default=0.5, ge=0)  # of the rate of neck and decoder; 0 freezes the encoder
    band_dropout: float = Field(default=0.0, ge=0, lt=1)  # chance that a band is missing in a training image


class SegmentingConfig(MapConfig):
    """Settings of the methods that end in the light decoder."""

    detail: bool = False  # the decoder reads the encoder's bands too, pixel by pixel, for what patches blur


class SegmentingNet(nn.Module):
    """An image encoder with SAM's neck, and the light decoder that every one of these methods ends in."""

    def __init__(self, encoder: ImageEncoder, classes: int, *, detail: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        shape = encoder.anatomy
        self.decoder = UpConvDecoder(shape.embedding, classes, shape.patch, detail=shape.bands if detail else None)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Logits at the size of the input: what the encoder padded is cropped away again."""
        rows, columns = image_BCHW.shape[-2:]
        return self.decoder(self.encoder(image_BCHW), image_BCHW)[..., :rows, :columns]


def fresh_encoder(task: Task) -> ImageEncoder:
    """An encoder shaped like the task's SAM, for the sensor's bands, with random weights and zero position tables."""
    return ImageEncoder(replace(task.sam.anatomy, bands=task.bands))


def finetune_stage(task: Task, config: MapConfig, net: nn.Module, *, encoder: str, others: tuple[str, ...]) -> Stage:
    """Learning from class maps: everything moves, the encoder named by the prefix slower than neck and decoder."""
    rates = {f"{encoder}.neck.*": 1.0, f"{encoder}.*": config.encoder_rate, **dict.fromkeys(others, 1.0)}
    patch = next(part.encoder.anatomy.patch for part in net.modules() if isinstance(part, SegmentingNet))
    return maps_stage(task, config, net, rates, coarsest=patch)


def maps_stage(task: Task, config: MapConfig, net: nn.Module, rates: Mapping[str, float], *, coarsest: int) -> Stage:
    """Learning from class maps at these rates; one value of the network's coarsest map answers for so many pixels."""
    # Batch norm learns from no single value, and that is all a small window leaves of one image.
    least = 2 if task.size <= coarsest else 1
    loss, mass = map_loss(task, config, net), map_mass(task, config)
    return Stage("finetune", loss, rates, settings=BUDGET, mass=mass, least_batch=least)


def map_loss(task: Task, config: MapConfig, net: nn.Module) -> Loss:
    """The configured loss of a network's class maps against labels."""
    weights = config.class_weights
    # Images without labels may have no classes: their stages take no notice of what is for labels.
    if weights is not None and task.classes and len(weights) != len(task.classes):
        raise SettingsError(f"class_weights holds {len(weights)} numbers, there are {len(task.classes)} classes.")

    def loss(batch: Batch, moment: Moment) -> Losses:
        if batch.label_BHW is None:
            raise SettingsError("Fine-tuning learns from labels and this split has none. Choose a split with masks.")
        image_BCHW = batch.image_BCHW
        if config.band_dropout and net.training:
            image_BCHW = drop_bands(image_BCHW, config.band_dropout, dice_of(moment, ABSENCE))
        weights_K = None if weights is None else torch.tensor(weights, device=image_BCHW.device)
        found = net(image_BCHW)
        value = class_map_loss(config.loss, found, batch.label_BHW, ignore=task.ignore, weights_K=weights_K)
        return {"loss": value}

    return loss


def map_mass(task: Task, config: MapConfig) -> Mass | None:
    """Over how much `map_loss` is a mean: labelled pixels, each as much as its class weighs."""
    weights = config.class_weights
    if weights is None:
        return None

    def weighed(batch: Batch) -> Tensor:
        assert batch.label_BHW is not None
        return mass(batch.label_BHW, task.ignore, torch.tensor(weights, device=batch.label_BHW.device))

    return weighed


def dice_of(moment: Moment, purpose: int) -> list[torch.Generator]:
    """Random numbers of one purpose for every sample of a batch."""
    return [moment.generator(purpose, place) for place in moment.places]
