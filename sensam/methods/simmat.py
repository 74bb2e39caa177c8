"""SimMAT (arXiv 2409.08083): SAM on any modality, through a small transfer layer and six ways of tuning, by clicks.

image B x C x H x W -> MAT -> three bands -> SAM's patch embedding -> SAM's blocks (tuned) -> embedding
one click in one region of the label -> SAM's prompt encoder (frozen) -> mask decoder (tuned) -> mask slot 0
loss: dice + binary cross entropy between that mask and the region, at the decoder's resolution
full tuning moves everything but the prompt encoder; LoRA, adapter, prompt and prefix move only what they add

Of the paper itself only the abstract was at hand, so no sections are cited; what is built is what its authors ran.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from sensam.data.clicks import By, Click, RegionRule, find_regions, sample_grid, training_clicks
from sensam.errors import SettingsError
from sensam.methods.base import Losses, Method, MethodConfig, Moment, Stage, Task
from sensam.methods.cwsam import UNUSED
from sensam.methods.tuning import Strategy, rates, tune
from sensam.nn.classwise import ClasswiseDecoder
from sensam.nn.dice_ce import dice_ce
from sensam.nn.lora import fold_low_rank
from sensam.nn.losses import class_map_loss
from sensam.nn.mat import MatConv, Projector
from sensam.nn.projectors import Projected, build_projector, parse_projector
from sensam.sam.framing import PHOTO_MEAN, PHOTO_STD
from sensam.sam.model import Sam
from sensam.sensors import Band
from sensam.types import Batch, Prompts

NO_PROJECTOR = "none"
NOWHERE = Click(0, 0, 0)


class SimMatConfig(MethodConfig):
    """A transfer layer, a way of tuning, and what a click asks for."""

    projector: str = "mat_conv"  # as in sensam.nn.projectors; none: the SAM knows the sensor's bands already
    strategy: Strategy = "lora"
    amount: int | None = Field(default=None, ge=1)  # LoRA's rank, the adapter's width, how many prompts or prefixes
    keeps_rgb: bool = False  # start mat_conv as the sensor's red, green and blue; needs a sensor that has them
    start: Literal["sam", "random"] = "sam"  # random weights instead of SAM's: the baseline "from scratch"
    regions: By = "label"  # one region for each label, or for each connected piece of it
    smallest: float = Field(default=0.0, ge=0, lt=1)  # share of an image that a region must exceed
    background: int | None = Field(default=0, ge=0)  # the class that nobody clicks; none: every class is clicked
    clicks: int = Field(default=1, ge=1)  # regions asked for in each image of a batch
    head: Literal["promptable", "classwise"] = "promptable"  # clicks, or class maps by CWSAM's decoder

    @field_validator("projector")
    @classmethod
    def _is_known(cls, text: str) -> str:
        if text != NO_PROJECTOR:
            try:
                parse_projector(text)
            except SettingsError as mistake:
                raise ValueError(str(mistake)) from mistake
        return text

    @model_validator(mode="after")
    def _clicks_are_for_clicks(self) -> Self:
        asked = ("regions", "smallest", "background", "clicks")
        idle = [name for name in asked if getattr(self, name) != type(self).model_fields[name].default]
        if self.head == "classwise" and idle:
            raise ValueError(f"{', '.join(idle)} settle what a click means; the class-wise head takes none")
        return self


class SimMat(Method):
    """Any projector with any strategy, on SAM of any size or on an inherited student."""

    paper = "Lei et al., SimMAT: Exploring Transferability from Vision Foundation Models to Any Image Modality, 2024"
    Config = SimMatConfig
    config: SimMatConfig

    def __init__(self, task: Task, config: SimMatConfig) -> None:
        super().__init__(task, config)
        legacy = config.protocol == "paper"
        self.rule = RegionRule(config.regions, config.smallest, config.background, task.ignore, legacy)
        device = task.sam.shared_image_embedding.positional_embedding.device
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(task.seed)
            self.sam = deepcopy(task.sam) if config.start == "sam" else Sam(task.sam.anatomy)
            self.decoder = _class_decoder(self.sam, len(task.classes)) if config.head == "classwise" else None
            self._project()
            tune(self.sam, config.strategy, config.amount, legacy=legacy)

    @property
    def stages(self) -> tuple[Stage, ...]:
        name = "sam.vision_encoder.patch_embed"
        own = self.sam.vision_encoder.patch_embed
        learns: dict[str, float] = {}
        if isinstance(own, Projected):
            if not own.part.uses_patches:
                learns[f"{name}.host.*"] = 0.0
            if any(True for _ in own.part.parameters()):
                learns[f"{name}.part.*"] = 1.0
        tuned = rates(self.sam, self.config.strategy, "sam.")
        if self.decoder is None:
            return (Stage("clicks", self._loss, learns | tuned, judged_by="clicks", settings=self._budget()),)
        learns |= {pattern: rate for pattern, rate in tuned.items() if pattern.startswith("sam.vision_encoder.")}
        learns |= {f"decoder.mask_decoder.{unused}": 0.0 for unused in UNUSED} | {"decoder.*": 1.0}
        return (Stage("classes", self._class_loss, learns, settings=self._budget()),)

    def promptable(self) -> Sam | None:
        return self.sam if self.decoder is None else None

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Class maps, with the class-wise head."""
        if self.decoder is None:
            return super().forward(image_BCHW)
        logits_BKhw = self.decoder(self.sam.encode(image_BCHW))
        return self.sam.enlarge(logits_BKhw, (image_BCHW.shape[-2], image_BCHW.shape[-1]))

    def merged(self) -> Sam:
        """A copy for inference with LoRA folded into SAM's weights: the same answers at SAM's own cost."""
        return fold_low_rank(deepcopy(self.sam))

    def _project(self) -> None:
        """Put the projector before the patch embedding, and count the sensor's bands where images are checked."""
        bands, base = self.task.bands, self.sam.anatomy.bands
        if self.config.projector == NO_PROJECTOR:
            if bands != base:
                raise SettingsError(
                    f"projector: none needs a SAM of {bands} bands as {self.task.sensor.name} has, found {base}. "
                    "Inherit a student first, or choose mat_conv."
                )
            return
        encoder, legacy = self.sam.vision_encoder, self.config.protocol == "paper"
        projection = encoder.patch_embed.projection
        projector = build_projector(self.config.projector, bands, projection, legacy=legacy)
        if self.config.keeps_rgb:
            _keep_rgb(projector, self.task, base)
        encoder.patch_embed = Projected(encoder.patch_embed, projector)  # type: ignore[assignment]  # stands for it
        self.sam.anatomy = replace(self.sam.anatomy, bands=bands)

    def _budget(self) -> dict[str, Any]:
        rate = 3e-5 if self.config.strategy == "full" else 3e-4
        if self.config.protocol == "strict":
            return {"rate": rate}
        length = {"epochs": 51, "batch": 4, "halve_every": 10, "least_rate": 0.0, "warm_up": 0.0}
        optimiser = {"rate": rate, "weight_decay": 0.0, "clip": 0.0}
        return optimiser | length | {"size": self.task.sam.anatomy.image_size, "fit": "stretch", "augment": {}}

    def _class_loss(self, batch: Batch, _: Moment) -> Losses:
        if batch.label_BHW is None:
            raise SettingsError("Classes come from labels and this split has none. Choose a split with masks.")
        return {"loss": class_map_loss("ce", self(batch.image_BCHW), batch.label_BHW, ignore=self.task.ignore)}

    def _loss(self, batch: Batch, moment: Moment) -> Losses:
        asked = self._ask(batch, moment)
        embedding = self.sam.encode(batch.image_BCHW)
        logits_N1hw, _ = self.sam.decode(embedding, asked.prompts, multimask=False)
        dice, cross = dice_ce(logits_N1hw[:, 0], asked.mask_Nhw, asked.known_Nhw)
        count = asked.known_Nhw.new_tensor(asked.count, dtype=torch.float32)
        return {"loss": dice + cross, "dice": dice.detach(), "cross_entropy": cross.detach(), "asked": count}

    def _ask(self, batch: Batch, moment: Moment) -> "_Asked":
        """One prompt for each region to ask for.

        An image without regions is asked at its corner about nothing that is known, and so teaches nothing.
        """
        if batch.label_BHW is None:
            raise SettingsError("Clicks come from labels and this split has none. Choose a split with masks.")
        small = partial(sample_grid, patch=self.sam.anatomy.patch, legacy=self.rule.legacy)
        clicks: list[Click] = []
        masks, known = [], []
        for label_HW, place in zip(batch.label_BHW.cpu().numpy(), moment.places, strict=True):
            found = find_regions(label_HW, self.rule, training=True)
            drawn = training_clicks(found, self.config.clicks, moment.seed, moment.epoch, place)
            drawn = drawn or [NOWHERE] * self.config.clicks
            region_hw, known_hw = small(found.region_HW), small(label_HW != self.task.ignore)
            masks += [region_hw == click.region for click in drawn]
            known += [known_hw & (click.region > 0) for click in drawn]
            clicks += drawn
        device = batch.image_BCHW.device
        points = torch.tensor([[[click.x, click.y]] for click in clicks], dtype=torch.float32, device=device)
        ones = torch.ones(points.shape[:2], dtype=torch.int64, device=device)
        mask_Nhw, known_Nhw = (torch.from_numpy(np.stack(part)).to(device) for part in (masks, known))
        return _Asked(Prompts(points, ones), mask_Nhw, known_Nhw, sum(click.region > 0 for click in clicks))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Clicks on the images of a batch, and what they ask for at the decoder's resolution."""

    prompts: Prompts
    mask_Nhw: Tensor  # bool
    known_Nhw: Tensor  # bool; nowhere True for an image without regions
    count: int  # how many prompts ask for a region


def _class_decoder(sam: Sam, classes: int) -> ClasswiseDecoder:
    code, nothing = sam.shared_image_embedding.positional_embedding, sam.prompt_encoder.no_mask_embed.weight
    return ClasswiseDecoder(sam.mask_decoder, code, nothing, classes)


def _keep_rgb(projector: Projector, task: Task, out: int) -> None:
    """Let the transfer layer start as the sensor's colours, in SAM's own normalisation where they are 8-bit numbers."""
    sensor = task.sensor
    if not isinstance(projector, MatConv) or sensor.rgb is None or out != 3:
        raise SettingsError(
            f"keeps_rgb starts mat_conv as red, green and blue: needed are projector: mat_conv, a sensor whose rgb is "
            f"named ({sensor.name} has {'it' if sensor.rgb else 'none'}) and a SAM of 3 bands (found {out})."
        )
    places = [sensor.index(name) for name in sensor.rgb]
    lines = [_photograph_line(sensor.bands[place], colour) for colour, place in enumerate(places)]
    gain_K, offset_K = torch.tensor(lines).T
    projector.keep(places, gain_K, offset_K)


def _photograph_line(band: Band, colour: int) -> tuple[float, float]:
    """Gain and offset from the sensor's normalised numbers to SAM's; none for what is not a photograph's scale."""
    is_photograph = band.unit == "DN" and (band.dtype == "uint8" or band.valid_range == (0, 255))
    if not is_photograph or band.mean is None or band.std is None:
        return 1.0, 0.0
    return band.std / PHOTO_STD[colour], (band.mean - PHOTO_MEAN[colour]) / PHOTO_STD[colour]
