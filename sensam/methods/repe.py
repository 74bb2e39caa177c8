"""SAM-RePE: SAM with a new, random patch embedding for all bands, its own weights elsewhere; then the light decoder.

image B x C x H x W --patches for C bands, random--> SAM's blocks and neck -> decoder -> logits B x K x H x W
labels -> cross entropy; everything learns, the encoder at half the rate

E2SAM (Wu et al., BMVC 2023), section 4.1 and Table 1. Its code was not released.
"""

from copy import deepcopy
from dataclasses import replace

from torch import Tensor

from sensam.methods.base import Method, Stage, Task
from sensam.methods.segmenting import SegmentingConfig, SegmentingNet, finetune_stage
from sensam.sam.encoder import ImageEncoder, PatchEmbed


class RePe(Method):
    """SAM with patches of its own for a sensor."""

    paper = "baseline in: Wu et al., E2SAM, BMVC 2023"
    Config = SegmentingConfig
    config: SegmentingConfig

    def __init__(self, task: Task, config: SegmentingConfig) -> None:
        super().__init__(task, config)
        self.net = SegmentingNet(_with_new_patches(task), len(task.classes), detail=config.detail)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (finetune_stage(self.task, self.config, self.net, encoder="net.encoder", others=("net.decoder.*",)),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(image_BCHW)


def _with_new_patches(task: Task) -> ImageEncoder:
    encoder = deepcopy(task.sam.vision_encoder)
    encoder.anatomy = replace(encoder.anatomy, bands=task.bands)
    encoder.patch_embed = PatchEmbed(encoder.anatomy)
    return encoder
