"""Training from scratch ("Rand"): SAM's encoder for all bands with random weights, then the light decoder.

image B x C x H x W --patches for C bands--> encoder, random --neck--> embedding --decoder--> logits B x K x H x W
labels -> cross entropy; everything learns, the encoder at half the rate

E2SAM (Wu et al., BMVC 2023), section 4.1: the baseline without any pretraining. Given as many epochs as E2SAM spends in
both of its stages, it is also the control that tells inheritance from mere training time.
"""

from torch import Tensor

from sensam.methods.base import Method, Stage, Task
from sensam.methods.segmenting import SegmentingConfig, SegmentingNet, finetune_stage, fresh_encoder


class Scratch(Method):
    """Random weights for any number of bands."""

    paper = "baseline in: Wu et al., E2SAM, BMVC 2023"
    Config = SegmentingConfig
    config: SegmentingConfig

    def __init__(self, task: Task, config: SegmentingConfig) -> None:
        super().__init__(task, config)
        self.net = SegmentingNet(fresh_encoder(task), len(task.classes), detail=config.detail)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (finetune_stage(self.task, self.config, self.net, encoder="net.encoder", others=("net.decoder.*",)),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(image_BCHW)
