"""E2SAM: a student for all bands inherits what a frozen SAM sees in triples of them, without labels; then it learns.

image B x C x H x W -> student encoder -> tokens -> branches of three bands -> merge -> SAM's frozen half neck -> map
                    \\- the same three bands -> frozen SAM encoder and half neck -> the same frozen half neck -> target
inherit: mean squared error between map and target, for triples drawn anew for every sample; no labels
finetune: teacher, branches and merge are gone; student -> neck -> up-convolution decoder -> cross entropy with labels
at once: the student's map of a triple, or of several, is what SAM's mask decoder reads: clicks without any label

Wu et al., BMVC 2023: sections 3.2 (inheritance, Eq. 1-7), 3.3 (fine-tuning), 4.1 (settings).
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from sensam.errors import SettingsError
from sensam.methods.base import Losses, Method, Moment, Stage, Task
from sensam.methods.inherited import Inheritance, PromptBy, Triple, as_sam
from sensam.methods.segmenting import ABSENCE, NOISE, TRIPLES, SegmentingConfig, SegmentingNet, dice_of, finetune_stage
from sensam.methods.tutor import TeacherInput, Tutor, resampled
from sensam.nn.branches import Branches, Merge
from sensam.nn.missing import drop_bands
from sensam.nn.mmd import mmd_of_maps, mmd_of_tokens
from sensam.nn.selector import choose_from_bank, draw_bank, draw_triples
from sensam.sam.anatomy import SIZES, Anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam
from sensam.types import Batch

NECKS = ("teacher", "random")  # of a student, where it is not another SAM's
BANK = 16  # triples of an image whose features are kept: with 16 bands every band comes three times
# What the authors' code did; settings that are given still count.
AS_PUBLISHED: Mapping[str, Any] = {"teacher_input": "raw", "one_triple_a_step": True, "noisy_teacher": True}


class E2SamConfig(SegmentingConfig):
    """Settings of E2SAM."""

    student: Literal["teacher", "nano", "b", "l", "h"] = "teacher"  # shaped like the teacher, or of a built-in size
    student_init: Literal["random", "sam"] = "random"  # "sam" starts from the teacher, its patches inflated
    neck_init: str = "teacher"  # or "random", or another SAM whose neck it is: b, l, h, a hub id, a folder, a .pth
    neck_loss: float = Field(default=0.0, ge=0)  # weight with which the student's own neck inherits along
    match: Literal["mse", "mmd_batch", "mmd_token"] = "mse"
    align_before_shared: bool = False  # compare before the shared half of the neck, as the code for SHIFT did
    triples: PositiveInt = 1  # that each pass of the student answers for
    one_triple_a_step: bool = False  # the same for all samples of a process
    bank: PositiveInt | None = None  # triples an image ever gets; None: all there are, or 16 with a cache
    teacher_input: TeacherInput = "standardise"
    noise: float = Field(default=0.2, ge=0)  # on the student's pixels while it inherits, in standard deviations
    noisy_teacher: bool = False  # the same noise on the teacher's
    cache: Path | None = None  # folder in which the teacher's features are kept
    cache_gigabytes: float = Field(default=20.0, gt=0)
    log_picks: bool = True  # how often each band was in a triple: reports show it over time
    prompts: PromptBy = "rgb"  # what SAM's mask decoder reads: the RGB-like triple, the mean of several, the own neck

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        is_paper = isinstance(values, Mapping) and values.get("protocol") == "paper"
        return {**AS_PUBLISHED, **values} if is_paper else values

    @model_validator(mode="after")
    def _makes_sense(self) -> "E2SamConfig":
        if self.cache and self.noisy_teacher:
            raise ValueError("features of a noisy_teacher never come again; leave cache or noisy_teacher out")
        if self.one_triple_a_step and (self.bank or self.cache):
            raise ValueError(
                "one_triple_a_step gives all images the same triple, bank and cache give each image its own; "
                "set one_triple_a_step to false, or leave bank and cache out"
            )
        if self.bank and self.triples > self.bank:
            raise ValueError(f"{self.triples} triples cannot come from a bank of {self.bank}; enlarge bank")
        if self.neck_loss and self.neck_init != "teacher":
            raise ValueError("neck_loss teaches the teacher's neck; set neck_init to teacher")
        if self.prompts == "neck" and not self.neck_loss:
            raise ValueError("prompts: neck reads the student's own neck, which must inherit too; set neck_loss to 1")
        return self


class E2Sam(Method):
    """A student for any number of bands, taught by SAM."""

    paper = "Wu et al., E2SAM: A Pipeline for Efficiently Extending SAM's Capability on Cross-Modality Data, BMVC 2023"
    Config = E2SamConfig
    config: E2SamConfig
    for_labels = frozenset({"loss", "class_weights", "encoder_rate", "detail"})

    def __init__(self, task: Task, config: E2SamConfig) -> None:
        super().__init__(task, config)
        theirs = task.sam.anatomy
        self.teacher = Tutor(
            task.sam.vision_encoder,
            task.sensor,
            reads=config.teacher_input,
            is_before_shared=config.align_before_shared,
            keep_in=config.cache,
            gigabytes=config.cache_gigabytes,
        )
        # Images without labels may have no classes either; their decoder is not used before it is built anew.
        self.net = SegmentingNet(_student(task, config), max(1, len(task.classes)), detail=config.detail)
        self.branches = Branches(task.bands, self.net.encoder.anatomy.width, theirs.embedding)
        self.merge = Merge(theirs.embedding)
        if config.neck_init not in NECKS:
            _take_neck(self.net.encoder, load_sam(config.neck_init))

    def config_at_rest(self) -> E2SamConfig:
        """A finished model holds its neck: the SAM that it was borrowed from need not be there any more."""
        is_borrowed = self.config.neck_init not in NECKS
        return self.config.model_copy(update={"neck_init": "teacher"}) if is_borrowed else self.config

    @property
    def stages(self) -> tuple[Stage, ...]:
        neck = "net.encoder.neck."
        own_neck = {f"{neck}conv1.*": 1.0, f"{neck}layer_norm1.*": 1.0} if self.config.neck_loss else {}
        inherit = Stage(
            "inherit",
            self._inherit,
            {**own_neck, f"{neck}*": 0.0, "net.encoder.*": 1.0, "branches.*": 1.0, "merge.*": 1.0},
            needs_labels=False,
            judged_by="loss",
            settings={"epochs": 50},
            discards=("teacher", "branches", "merge"),
            mass=self._mass,
            least_batch=2 if self.config.match == "mmd_batch" else 1,
            keeps_views=self.config.cache is not None,
        )
        return inherit, finetune_stage(
            self.task, self.config, self.net, encoder="net.encoder", others=("net.decoder.*",)
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.net(image_BCHW)

    def promptable(self) -> Sam | None:
        """SAM with the student in its encoder's place; None after fine-tuning, which leaves SAM's space."""
        return self.promptable_by(self.config.prompts) if hasattr(self, "branches") else None

    def promptable_by(self, by: PromptBy, triples: tuple[Triple, ...] | None = None) -> Sam:
        """The same with another choice of what the mask decoder reads: certain triples, where they are given."""
        if not hasattr(self, "branches"):
            raise SettingsError(
                "Fine-tuning has thrown away what answers clicks. Use the model as it was after the stage inherit."
            )
        if by == "neck" and not self.config.neck_loss:
            raise SettingsError("The student's own neck did not inherit. Train with neck_loss: 1, or use average.")
        parts = Inheritance(self.net.encoder, self.branches, self.merge, self.teacher)
        return as_sam(self.task.sam, parts.encoder(by, self.task.sensor, triples), self.task.bands)

    def _inherit(self, batch: Batch, moment: Moment) -> Losses:
        """Eq. 1-6: student and teacher of the same triples, compared in SAM's space."""
        config = self.config
        triples_BN3 = self._draw(batch, moment)
        seen_BCHW = self._noisy(batch, moment)
        # Unlike the paper: the teacher's input is clean and standardised, which is what SAM was trained on.
        targets = self.teacher.teach(batch, seen_BCHW if config.noisy_teacher else batch.image_BCHW, triples_BN3)
        if config.band_dropout and self.training:
            seen_BCHW = drop_bands(seen_BCHW, config.band_dropout, dice_of(moment, ABSENCE))
        tokens_BhwD = self.net.encoder.tokens(seen_BCHW)
        merged_RhwE = self.merge(self.branches(tokens_BhwD, triples_BN3)).flatten(0, 1)
        found = self.teacher.share(self._on_teachers_grid(merged_RhwE, targets.maps_RhwE))
        weight_Bhw = self._weight(batch)
        weight_Rhw = None if weight_Bhw is None else weight_Bhw.repeat_interleave(config.triples, 0)
        with torch.autocast(found.device.type, enabled=False):
            mse = _mean_square(found.float() - targets.maps_RhwE, weight_Rhw)
            loss = mse if config.match == "mse" else self._discrepancy(found.float(), targets.maps_RhwE, weight_Rhw)
        losses = {"loss": loss, "mse": mse.detach()}
        if config.neck_loss:
            losses["neck"] = self._neck_loss(tokens_BhwD, targets.maps_RhwE, weight_Rhw)
            losses["loss"] = loss + config.neck_loss * losses["neck"]
        if config.cache:
            losses["teacher_avoided"] = loss.new_tensor(targets.avoided)
        if config.log_picks:
            shares_C = torch.bincount(triples_BN3.flatten(), minlength=self.task.bands) / triples_BN3.numel()
            losses |= {
                f"picked {name}": share for name, share in zip(self.task.sensor.band_names, shares_C, strict=True)
            }
        return losses

    def _draw(self, batch: Batch, moment: Moment) -> Tensor:
        """B x N x 3, from nothing but the place of each sample in the run."""
        config, bands = self.config, self.task.bands
        bank = config.bank or (max(BANK, config.triples) if config.cache else None)
        # Unlike the paper: every sample has triples of its own, so that a step is not about three bands alone.
        places = [moment.places.start] * len(batch) if config.one_triple_a_step else moment.places
        rows = []
        for key, place in zip(batch.keys, places, strict=True):
            dice = moment.generator(TRIPLES, place)
            if bank is None:
                rows.append(draw_triples(dice, bands, config.triples))
            else:
                rows.append(choose_from_bank(dice, _bank(key, self.task.seed, bands, bank), config.triples))
        return torch.stack(rows)

    def _noisy(self, batch: Batch, moment: Moment) -> Tensor:
        if not (self.config.noise and self.training):
            return batch.image_BCHW
        noise_BCHW = torch.stack(
            [
                torch.randn(image.shape, generator=_on(image.device, dice), device=image.device)
                for image, dice in zip(batch.image_BCHW, dice_of(moment, NOISE), strict=True)
            ]
        )
        return batch.image_BCHW + self.config.noise * noise_BCHW * batch.valid_BHW[:, None]

    def _mass(self, batch: Batch) -> Tensor:
        """How many tokens the mean square is a mean over; images, where sets are compared."""
        weight_Bhw = self._weight(batch)
        if self.config.match == "mse":
            patch = self.teacher.encoder.anatomy.patch
            rows, columns = (-(-side // patch) for side in batch.image_BCHW.shape[-2:])
            count = len(batch) * rows * columns
            return torch.tensor(count, device=batch.image_BCHW.device) if weight_Bhw is None else weight_Bhw.sum()
        if weight_Bhw is None:
            return torch.tensor(len(batch), device=batch.image_BCHW.device)
        shown = weight_Bhw.flatten(1).any(1).sum()
        return shown if self.config.match == "mmd_token" else shown * (shown > 1)

    def _weight(self, batch: Batch) -> Tensor | None:
        """Which of the teacher's tokens count: those with any valid pixel. None for all."""
        # Unlike the paper: what has no data is nothing to inherit from.
        if self.config.protocol == "paper" or bool(batch.valid_BHW.all()):
            return None
        patch = self.teacher.encoder.anatomy.patch
        below, beside = (-side % patch for side in batch.valid_BHW.shape[1:])
        return F.max_pool2d(F.pad(batch.valid_BHW.float()[:, None], (0, beside, 0, below)), patch)[:, 0]

    def _discrepancy(self, found_RhwE: Tensor, target_RhwE: Tensor, weight_Rhw: Tensor | None) -> Tensor:
        """Between sets, of which tokens and images without data are no part."""
        if self.config.match == "mmd_token":
            if weight_Rhw is None:
                return mmd_of_tokens(found_RhwE.flatten(1, 2), target_RhwE.flatten(1, 2))
            by_image = zip(found_RhwE, target_RhwE, weight_Rhw > 0, strict=True)
            parts = [mmd_of_tokens(own[kept][None], theirs[kept][None]) for own, theirs, kept in by_image if kept.any()]
            return torch.stack(parts).mean() if parts else 0 * found_RhwE.sum()
        if weight_Rhw is not None:
            is_shown_R = weight_Rhw.flatten(1).any(1)
            if len(is_shown_R) >= 2 * self.config.triples > is_shown_R.sum():  # one image is no set
                return 0 * found_RhwE.sum()
            found_RhwE, target_RhwE = ((each * weight_Rhw[..., None])[is_shown_R] for each in (found_RhwE, target_RhwE))
        by_triple = (part.unflatten(0, (-1, self.config.triples)).transpose(0, 1) for part in (found_RhwE, target_RhwE))
        pairs = zip(*by_triple, strict=True)
        return torch.stack([mmd_of_maps(found.flatten(1), target.flatten(1)) for found, target in pairs]).mean()

    def _on_teachers_grid(self, map_RhwE: Tensor, target_RhwE: Tensor) -> Tensor:
        own, theirs = self.net.encoder.anatomy.patch, self.teacher.encoder.anatomy.patch
        return resampled(map_RhwE, (target_RhwE.shape[1], target_RhwE.shape[2]), patch=own, onto=theirs)

    def _neck_loss(self, tokens_BhwD: Tensor, target_RhwE: Tensor, weight_Rhw: Tensor | None) -> Tensor:
        """One map for all triples: the student's own neck against every target, so that it learns their mean."""
        neck = self.net.encoder.neck
        assert neck is not None
        aligned = neck.layer_norm1(neck.conv1(tokens_BhwD.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        found_RhwE = self.teacher.share(self._on_teachers_grid(aligned, target_RhwE))
        found_RhwE = found_RhwE.repeat_interleave(self.config.triples, 0)
        with torch.autocast(target_RhwE.device.type, enabled=False):
            return _mean_square(found_RhwE.float() - target_RhwE, weight_Rhw)


def _student(task: Task, config: E2SamConfig) -> ImageEncoder:
    """The student before it learns anything, its neck as far as it is the teacher's."""
    theirs = task.sam.anatomy
    shape: Anatomy = theirs if config.student == "teacher" else SIZES[config.student]
    student = ImageEncoder(replace(shape, bands=task.bands, embedding=theirs.embedding))
    given = task.sam.vision_encoder.state_dict()
    if config.student_init == "sam":
        if replace(shape, name=theirs.name) != theirs:
            raise SettingsError(
                "student_init: sam copies the teacher, so the student must have its shape: leave student out."
            )
        kernel = given["patch_embed.projection.weight"].sum(1, keepdim=True) / task.bands
        body = {name: weight for name, weight in given.items() if not name.startswith("neck.")}
        body["patch_embed.projection.weight"] = kernel.repeat(1, task.bands, 1, 1)
        _copy(student, body)
    if config.neck_init == "teacher":
        _take_neck(student, task.sam)
    return student


def _take_neck(student: ImageEncoder, sam: Sam) -> None:
    """Of a SAM's neck what fits: a student of another width cannot take the first half, its tokens are not SAM's."""
    own, theirs = student.anatomy, sam.anatomy
    if own.embedding != theirs.embedding:
        raise SettingsError(
            f"neck_init names a SAM whose embedding has {theirs.embedding} channels, the teacher's {own.embedding}. "
            "Leave neck_init out, or name a SAM whose embedding is like the teacher's."
        )
    halves = ("neck.",) if own.width == theirs.width else ("neck.conv2.", "neck.layer_norm2.")
    given = sam.vision_encoder.state_dict()
    _copy(student, {name: weight for name, weight in given.items() if name.startswith(halves)})


@torch.no_grad()
def _copy(encoder: ImageEncoder, weights: Mapping[str, Tensor]) -> None:
    own = encoder.state_dict()
    for name, weight in weights.items():
        own[name].copy_(weight)


def _bank(key: str, seed: int, bands: int, count: int) -> Tensor:
    """The triples that an image ever gets: different, balanced, and a function of its name alone."""
    digest = blake2b(f"{seed}|{key}".encode(), digest_size=7).digest()
    return draw_bank(torch.Generator().manual_seed(int.from_bytes(digest)), bands, count)


def _on(device: torch.device, dice: torch.Generator) -> torch.Generator:
    """The same luck on a device: drawing millions of numbers elsewhere would take longer than the step."""
    return dice if device.type == "cpu" else torch.Generator(device).manual_seed(dice.initial_seed())


def _mean_square(difference_RhwE: Tensor, weight_Rhw: Tensor | None) -> Tensor:
    if weight_Rhw is None:
        return difference_RhwE.square().mean()
    return (difference_RhwE.square().mean(-1) * weight_Rhw).sum() / weight_Rhw.sum().clamp(min=1)
