"""CWSAM: a frozen SAM that learns to see radar through adapters, and to tell classes through its mask decoder.

image B x C x H x W --stem, if SAM has other bands--> SAM's patches and positions
   each block: tokens + prompt (from slow frequencies and patches) -> block with two adapters -> neck -> embedding
   embedding, no prompt --SAM's mask decoder, its maps upscaled per class--> logits B x K x 4h x 4w -> B x K x H x W
labels -> weighted cross entropy; adapters, prompts and decoder learn, SAM's encoder does not
Pu et al., ClassWise-SAM-Adapter, JSTARS 18, 2025 (arXiv 2401.02326); where paper and code differ, as the code has it.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Losses, Method, MethodConfig, Moment, Stage, Task
from sensam.nn.adapted_encoder import AdaptedEncoder, EncoderTuning
from sensam.nn.band_stems import AsPhotograph, RepeatBand, inflate_patches, mix_bands
from sensam.nn.block_adapters import AdapterPair
from sensam.nn.classwise import ClasswiseDecoder, Head, Skip
from sensam.nn.frequency_prompts import FrequencyPrompts
from sensam.nn.lowpass import Frequencies, FrequencyFilter
from sensam.nn.sharing import share_frozen
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sam.framing import PHOTO_MEAN, PHOTO_STD
from sensam.sam.linear import Linear
from sensam.sam.model import Sam
from sensam.types import Batch

Stem = Literal["own", "repeat", "inflate", "conv"]

ADAPTER_SHARE = 4  # an adapter is a quarter as wide as the tokens
PROMPT_SHARE = 32  # what prompts are made in is a 32nd as wide
SLOW = 0.25  # the authors' part of the spectrum
# Unlike the paper, which knows SAM's published sizes only: a small SAM's prompts need more than a few numbers too.
NARROWEST_PROMPT = 8

# Of the mask decoder's parts, these answer nothing that is used here.
UNUSED = ("output_hypernetworks_mlps.[123].*", "iou_prediction_head.*")
PATCHES = "encoder.host.patch_embed.projection"
PUBLISHED = {"rate": 2e-4, "least_rate": 1e-7, "warm_up": 0.0, "weight_decay": 0.01, "decay_all": True}
PUBLISHED_LENGTH = {"epochs": 200, "batch": 1, "size": 1024, "fit": "stretch", "clip": 0.0, "augment": {}}


class CwsamConfig(MethodConfig):
    """What is put around SAM, and how it starts. `None` means: as the protocol has it."""

    class_weights: tuple[PositiveFloat, ...] | None = None  # in the order of the classes
    stem: Stem | None = None  # None: the SAM's own bands, or one band repeated, or patches inflated to more bands
    adapters: bool = True
    frequencies: Frequencies | Literal["none"] = "low"  # the authors tried "both" with rate 1/16
    rate: float | None = Field(default=None, gt=0, le=1)  # part of the spectrum that is slow; the authors' 0.25
    head: Head = "full"
    skip: Skip = "shared"
    neck: bool = False  # let the encoder's neck learn too, for a student whose own neck did not inherit
    init: Literal["zero", "torch_default"] | None = None  # strict starts at SAM itself, the authors start away from it

    @property
    def starts_at_sam(self) -> bool:
        """Whether adapters and prompts change nothing before the first step."""
        return (self.init or ("zero" if self.protocol == "strict" else "torch_default")) == "zero"


class Cwsam(Method):
    """Adapters, low-frequency prompts and a class-wise decoder on a frozen SAM."""

    paper = "Pu et al., ClassWise-SAM-Adapter, IEEE JSTARS 18, 2025"
    Config = CwsamConfig
    config: CwsamConfig

    def __init__(self, task: Task, config: CwsamConfig) -> None:
        super().__init__(task, config)
        _check(task, config)
        encoder = share_frozen(task.sam.vision_encoder)
        self.stem_kind = choose_stem(task, config)
        self.stem = _stem(task, config, self.stem_kind)
        if self.stem_kind == "inflate":
            encoder.patch_embed.projection = inflate_patches(encoder.patch_embed.projection, task.bands)
            encoder.anatomy = replace(encoder.anatomy, bands=task.bands)
        if config.neck:
            encoder.neck = deepcopy(task.sam.vision_encoder.neck)
        self.encoder = AdaptedEncoder(encoder, make_tuning(encoder.anatomy, config))
        self.decoder = _decoder(task.sam, len(task.classes), config)

    @property
    def stages(self) -> tuple[Stage, ...]:
        settings = PUBLISHED | PUBLISHED_LENGTH if self.config.protocol == "paper" else PUBLISHED
        return (Stage("adapt", self._loss, self._learns(), settings=settings),)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        logits_BKhw = self.decoder(self.encoder(self.stem(image_BCHW)))
        rows, columns = image_BCHW.shape[-2:]
        patch = self.encoder.host.anatomy.patch  # a token has four logits on a side
        size = (logits_BKhw.shape[-2] // 4 * patch, logits_BKhw.shape[-1] // 4 * patch)
        return F.interpolate(logits_BKhw, size, mode="bilinear", align_corners=False)[..., :rows, :columns]

    def _learns(self) -> dict[str, float]:
        rates = {f"decoder.mask_decoder.{unused}": 0.0 for unused in UNUSED} | {"decoder.*": 1.0}
        tuning = self.encoder.part
        if tuning.adapters:
            rates["encoder.part.adapters.*"] = 1.0
        if tuning.prompts is not None:
            rates["encoder.part.prompts.*"] = 1.0
        if self.config.neck:
            rates["encoder.host.neck.*"] = 1.0
        if self.stem_kind in ("conv", "inflate"):
            rates["stem.*" if self.stem_kind == "conv" else f"{PATCHES}.*"] = 1.0
        return rates

    def _loss(self, batch: Batch, _: Moment) -> Losses:
        if batch.label_BHW is None:
            raise SettingsError("CWSAM learns from labels and this split has none. Choose a split with masks.")
        logits_BKHW, weights_K = self(batch.image_BCHW).float(), None
        if self.config.class_weights is not None:
            weights_K = torch.tensor(self.config.class_weights, device=logits_BKHW.device)
        return {"loss": cross_entropy_per_pixel(logits_BKHW, batch.label_BHW, self.task.ignore, weights_K)}


def cross_entropy_per_pixel(
    logits_BKHW: Tensor, label_BHW: Tensor, ignore: int, weights_K: Tensor | None = None
) -> Tensor:
    """The authors' mean: over the number of labelled pixels, not over what they weigh.

    The loss of a batch is then the mean of its parts', each counting as many pixels as it has labelled: however a
    batch is shared out, the gradient is the same.
    """
    total = F.cross_entropy(logits_BKHW, label_BHW, weights_K, ignore_index=ignore, reduction="sum")
    # Unlike the paper: where a label's colour is of no class, the authors still count the pixel.
    return total / (label_BHW != ignore).sum().clamp(min=1)


def choose_stem(task: Task, config: CwsamConfig) -> Stem:
    """How the sensor's bands reach the SAM; an error where the wanted way makes no sense."""
    bands, taken = task.bands, task.sam.anatomy.bands
    if config.stem is None:
        return "own" if bands == taken else "repeat" if bands == 1 else "inflate"
    fits = {"own": bands == taken, "repeat": bands == 1 < taken, "inflate": bands != taken, "conv": True}
    if not fits[config.stem]:
        needed = {"own": f"{taken} bands", "repeat": "one band", "inflate": "another number of bands"}[config.stem]
        raise SettingsError(
            f"stem {config.stem} needs {needed} before a SAM of {taken} bands; {task.sensor.name} has {bands}. "
            "Leave stem out, or take conv."
        )
    return config.stem


def _stem(task: Task, config: CwsamConfig, kind: Stem) -> nn.Module:
    taken = task.sam.anatomy.bands
    if kind == "conv":
        return mix_bands(task.bands, taken)
    if kind != "repeat":
        return nn.Identity()
    band = task.sensor.bands[0]
    if config.protocol == "strict" or taken != len(PHOTO_MEAN) or band.dtype != "uint8" or band.mean is None:
        return RepeatBand(taken)
    # The authors take an 8-bit picture for a grey photograph; other numbers they would cut to 8 bits, which we do not.
    mean, std = (band.mean - band.offset) / band.scale, (band.std or 1.0) / band.scale
    return AsPhotograph(mean, std, PHOTO_MEAN, PHOTO_STD)


def make_tuning(anatomy: Anatomy, config: CwsamConfig) -> EncoderTuning:
    """What is put around an encoder of this anatomy."""
    width, starts_at_zero = anatomy.width, config.starts_at_sam
    adapters, prompts = [], None
    if config.adapters:
        rank = max(1, width // ADAPTER_SHARE)
        adapters = [
            AdapterPair(width, rank, starts_at_zero=starts_at_zero, linear=Linear) for _ in range(anatomy.depth)
        ]
    if config.frequencies != "none":
        kept = FrequencyFilter(config.frequencies, config.rate or SLOW, as_published=config.protocol == "paper")
        inner = max(NARROWEST_PROMPT, width // PROMPT_SHARE)
        prompts = FrequencyPrompts(
            anatomy.bands, anatomy.patch, width, inner, anatomy.depth, kept, starts_at_zero=starts_at_zero
        )
    return EncoderTuning(adapters, prompts)


def _decoder(sam: Sam, classes: int, config: CwsamConfig) -> ClasswiseDecoder:
    place_code = sam.shared_image_embedding.positional_embedding
    no_mask = sam.prompt_encoder.no_mask_embed.weight
    if config.protocol == "paper":  # under the names that the authors look for, a checkpoint of SAM has neither
        place_code, no_mask = torch.randn_like(place_code), torch.randn_like(no_mask)
    return ClasswiseDecoder(sam.mask_decoder, place_code, no_mask, classes, head=config.head, skip=config.skip)


def _check(task: Task, config: CwsamConfig) -> None:
    if not isinstance(task.sam.vision_encoder, ImageEncoder):
        raise SettingsError(
            f"CWSAM adapts the blocks of SAM's encoder; this SAM has a {type(task.sam.vision_encoder).__name__}. "
            "Give the folder of an inherited student as teacher, or a SAM that wears nothing."
        )
    weights = config.class_weights
    if weights is not None and len(weights) != len(task.classes):
        raise SettingsError(f"class_weights holds {len(weights)} numbers, there are {len(task.classes)} classes.")
    if config.frequencies == "none" and config.rate is not None:
        raise SettingsError("rate does nothing with frequencies: none. Leave it out, or take low, high or both.")
    if not config.adapters and config.frequencies == "none" and config.init is not None:
        raise SettingsError("init does nothing without adapters and frequencies. Leave it out.")
