"""U-Net: what a user would otherwise pick, from segmentation-models-pytorch; no SAM in it.

image B x C x H x W --padded to 32--> convolutional encoder -> decoder with skips -> logits B x K x H x W, cropped
labels -> cross entropy; everything learns at the same rate

Ronneberger et al., MICCAI 2015, with a residual encoder.
"""

from importlib import import_module

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sensam.errors import MissingExtraError, SettingsError
from sensam.methods.base import Method, Stage, Task
from sensam.methods.segmenting import MapConfig, maps_stage

_STRIDE = 32  # of its deepest level


class UNetConfig(MapConfig):
    """Settings of the U-Net."""

    encoder_rate: float = Field(default=1.0, ge=0)  # nothing of it is trained already
    encoder: str = "resnet34"  # any that segmentation-models-pytorch knows
    encoder_weights: str | None = None  # such as imagenet, which is fetched from the hub; None: random


class UNet(Method):
    """A U-Net for any number of bands."""

    paper = "Ronneberger et al., U-Net, MICCAI 2015"
    adapts_sam = False
    Config = UNetConfig
    config: UNetConfig

    def __init__(self, task: Task, config: UNetConfig) -> None:
        super().__init__(task, config)
        self.net = _build(task, config)

    def config_at_rest(self) -> UNetConfig:
        """A finished model holds every weight that learnt: what the encoder began from is not fetched again."""
        if self.config.encoder_rate == 0:  # the encoder is what was fetched, and no part of what is saved
            return self.config
        return self.config.model_copy(update={"encoder_weights": None})

    @property
    def stages(self) -> tuple[Stage, ...]:
        rates = {"net.encoder.*": self.config.encoder_rate, "net.*": 1.0}
        return (maps_stage(self.task, self.config, self, rates, coarsest=_STRIDE),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        rows, columns = image_BCHW.shape[-2:]
        padded = F.pad(image_BCHW, (0, -columns % _STRIDE, 0, -rows % _STRIDE))
        logits_BKHW: Tensor = self.net(padded)
        return logits_BKHW[..., :rows, :columns]


def _build(task: Task, config: UNetConfig) -> nn.Module:
    try:
        smp = import_module("segmentation_models_pytorch")
    except ImportError as error:
        raise MissingExtraError("The method unet", "baselines") from error
    if config.encoder not in smp.encoders.get_encoder_names():
        raise SettingsError(
            f"segmentation-models-pytorch has no encoder {config.encoder!r}. Take resnet34, or one that "
            "smp.encoders.get_encoder_names() lists."
        )
    known = smp.encoders.encoders[config.encoder]["pretrained_settings"]
    if config.encoder_weights is not None and config.encoder_weights not in known:
        raise SettingsError(
            f"The encoder {config.encoder} has no weights named {config.encoder_weights!r}. "
            f"Take one of {', '.join(known)}, or leave encoder_weights out."
        )
    try:
        net: nn.Module = smp.Unet(
            config.encoder, encoder_weights=config.encoder_weights, in_channels=task.bands, classes=len(task.classes)
        )
    except (OSError, ValueError) as error:  # OSError is all that the hub raises
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise SettingsError(
            f"The encoder {config.encoder} cannot be had with weights {config.encoder_weights} ({reason}). "
            "Fetch them once where there is a network, or leave encoder_weights out."
        ) from error
    return net
