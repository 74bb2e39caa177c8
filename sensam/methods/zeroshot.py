"""SAM as it is, on three bands, answering clicks and boxes: nothing learns, and every comparison starts here.

image B x C x H x W --three bands--> B x 3 x H x W -> SAM's encoder -> SAM's mask decoder with prompts -> masks

Kirillov et al., ICCV 2023.
"""

from sensam.methods.base import Method, MethodConfig, Stage, Task
from sensam.methods.inherited import PickedEncoder, as_sam
from sensam.methods.triples import Names, check_three_bands, positions
from sensam.sam.model import Sam


class ZeroShotConfig(MethodConfig):
    """Settings of SAM as it is."""

    triple: Names | None = None  # names of the bands that SAM takes for red, green and blue; None: those that look so


class ZeroShot(Method):
    """SAM behind three bands of a sensor."""

    paper = "Kirillov et al., Segment Anything, ICCV 2023"
    Config = ZeroShotConfig
    config: ZeroShotConfig

    def __init__(self, task: Task, config: ZeroShotConfig) -> None:
        super().__init__(task, config)
        check_three_bands(task, "zeroshot")
        self.encoder = PickedEncoder(task.sam.vision_encoder, positions(task.sensor, config.triple))

    @property
    def stages(self) -> tuple[Stage, ...]:
        return ()

    def promptable(self) -> Sam:
        return as_sam(self.task.sam, self.encoder, self.task.bands)
