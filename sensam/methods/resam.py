"""SAM-ReSam: all bands mixed into three by a learnt convolution, then SAM with its own weights, then the light decoder.

image B x C x H x W --conv 1 x 1--> B x 3 x H x W -> SAM's encoder and neck -> decoder -> logits B x K x H x W
labels -> cross entropy; everything learns, the encoder at half the rate

E2SAM (Wu et al., BMVC 2023), section 4.1 and Table 1. Its code was not released and its kernel is not stated: here it
is 1 x 1, with a bias, random at first.
"""

from copy import deepcopy

from torch import Tensor, nn

from sensam.methods.base import Method, Stage, Task
from sensam.methods.segmenting import SegmentingConfig, SegmentingNet, finetune_stage
from sensam.methods.triples import check_three_bands


class ReSam(Method):
    """SAM behind a mixture of bands."""

    paper = "baseline in: Wu et al., E2SAM, BMVC 2023"
    Config = SegmentingConfig
    config: SegmentingConfig

    def __init__(self, task: Task, config: SegmentingConfig) -> None:
        super().__init__(task, config)
        check_three_bands(task, "resam")
        self.mix = nn.Conv2d(task.bands, 3, 1)
        self.net = SegmentingNet(deepcopy(task.sam.vision_encoder), len(task.classes), detail=config.detail)

    @property
    def stages(self) -> tuple[Stage, ...]:
        others = ("mix.*", "net.decoder.*")
        return (finetune_stage(self.task, self.config, self, encoder="net.encoder", others=others),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(self.mix(image_BCHW))
