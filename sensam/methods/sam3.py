"""SAM on three bands: its own weights everywhere, the other bands are never seen; then the light decoder.

image B x C x H x W --three bands--> B x 3 x H x W -> SAM's encoder and neck -> decoder -> logits B x K x H x W
labels -> cross entropy; everything learns, the encoder at half the rate

E2SAM (Wu et al., BMVC 2023), section 4.1 and Table 1: the rows "C3" and, averaged over triples, "C3*".
"""

from copy import deepcopy

from torch import Tensor

from sensam.methods.base import Method, Stage, Task
from sensam.methods.segmenting import SegmentingConfig, SegmentingNet, finetune_stage
from sensam.methods.triples import Names, check_three_bands, positions


class Sam3Config(SegmentingConfig):
    """Settings of SAM on three bands."""

    triple: Names | None = None  # names of the bands that SAM takes for red, green and blue; None: those that look so


class Sam3(Method):
    """What SAM does with three bands of a sensor."""

    paper = "baseline in: Wu et al., E2SAM, BMVC 2023"
    Config = Sam3Config
    config: Sam3Config

    def __init__(self, task: Task, config: Sam3Config) -> None:
        super().__init__(task, config)
        check_three_bands(task, "sam3")
        self.triple = positions(task.sensor, config.triple)
        self.net = SegmentingNet(deepcopy(task.sam.vision_encoder), len(task.classes), detail=config.detail)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (finetune_stage(self.task, self.config, self, encoder="net.encoder", others=("net.decoder.*",)),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(image_BCHW[:, list(self.triple)])
