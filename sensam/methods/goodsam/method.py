"""GoodSAM: a compact panoramic student learns without labels from SAM's masks and a teacher assistant's classes.

panorama --windows around the seam--> assistant -> answers, features;  SAM, everywhere -> masks (kept on disk)
rectify: answers agree on overlaps + boundaries as SAM sees them + stay near the source   -> assistant   [DAR 1, 2]
fuse:    merged answers + masks that vote -> ensemble (kept on disk)                                     [DAR 3, CTCF]
distil:  panorama --student, whole--> answers, features: like the ensemble, like the assistant in windows [MKA]
answer:  the student alone: one pass, no windows, no SAM, no assistant

GoodSAM (Zhang et al., CVPR 2024, arXiv 2403.16370), section 3 (DAR 3.2, MKA 3.3), and GoodSAM++ (arXiv 2408.09115):
more than one row of windows, and hard pseudo maps. Formulas, weights and thresholds are ours where the authors' text
and code do not give them; docs/methods/goodsam.md says which.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.data.lens import FisheyeLens, Lens, PanoramaLens, lens_of
from sensam.data.perspective import Look, cut_view
from sensam.errors import SettingsError, unknown
from sensam.methods.base import WHOLE, Losses, Method, Moment, Stage, Task
from sensam.methods.goodsam.adaptation import Projectors
from sensam.methods.goodsam.assistant import GONE, HERE, Assistant, find_assistant
from sensam.methods.goodsam.cache import Cache, Identity, default_folder
from sensam.methods.goodsam.distillation import Distillation
from sensam.methods.goodsam.knowledge import Ensemble, Knowledge
from sensam.methods.goodsam.rectification import Rectification
from sensam.methods.goodsam.settings import THIN, GoodSamConfig
from sensam.methods.goodsam.sight import Seen, see
from sensam.methods.triples import check_three_bands
from sensam.nn.losses import class_map_loss
from sensam.nn.segformer import SMALLEST_SIDE, build_segformer, start_from
from sensam.types import Batch

FRESH_RATE, PRETRAINED_RATE = 5e-4, 6e-5  # of networks that begin at random, and of those that were trained before
RECTIFY_RATE = 1e-5
HEAD_FACTOR = 10.0  # for a fresh head on a pretrained encoder
VIEW_DEG, VIEW_TILT = 70.0, float(np.radians(12))
VIEW = 43  # purpose of random numbers


class GoodSam(Method):
    """Teachers that are thrown away, and the student that stays.

    `source` is the assistant as it came from perspective images, `adapted` the rectified one, `teacher` SAM.
    """

    paper = "Zhang et al., GoodSAM: Bridging Domain and Capability Gaps via Segment Anything Model, CVPR 2024"
    Config = GoodSamConfig
    config: GoodSamConfig

    def __init__(self, task: Task, config: GoodSamConfig, *, assistant: nn.Module | None = None) -> None:
        super().__init__(task, config)
        if task.sam.anatomy.bands != task.bands:
            check_three_bands(task, "goodsam")
        around = config.around if task.sensor.geometry == "equirectangular" else 0
        classes, head = len(task.classes), config.student_head
        self.student = build_segformer(config.student, bands=task.bands, classes=classes, head=head, around=around)
        if config.student_start is not None:
            start_from(self.student, config.student_start)
        self.source = find_assistant(task, config, assistant)
        if config.rectify.does_something:
            self.adapted = deepcopy(self.source)
        self.teacher = task.sam
        if config.distil.features:
            self.projectors = Projectors(self.student.widths, _widths(self.source))
        thin_K = _thin_classes(task.classes, config)
        cache = Cache(Path(config.cache).expanduser() if config.cache else default_folder())
        self._knowledge = Knowledge(config, task.sam, self._shown_to_sam, thin_K, cache)
        self._identity = Identity(self.assistant)
        self._distillation = Distillation(
            *(config.distil, config.fusion, self.student),
            *(self.projectors if config.distil.features else None, self.assistant, self._knowledge),
        )
        if config.rectify.does_something:
            self._rectification = Rectification(config.rectify, self.adapted, self.source, self._knowledge, thin_K)

    @property
    def assistant(self) -> Assistant:
        """The assistant that teaches: rectified, or as it came where nothing rectifies it."""
        return self.adapted if self.config.rectify.does_something else self.source

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.student(image_BCHW)

    @property
    def stages(self) -> tuple[Stage, ...]:
        config = self.config
        is_fresh = config.student_start is None
        rate = FRESH_RATE if is_fresh else PRETRAINED_RATE
        whole: dict[str, Any] = {"size": WHOLE, "rate": rate, "weight_decay": 0.01, "keep": "last"}
        student = {"student.net.decode_head.*": 1.0 if is_fresh else HEAD_FACTOR, "student.*": 1.0}
        if config.distil.features:
            student["projectors.*"] = student["student.net.decode_head.*"]
        gone = tuple(name for name in ("source", "adapted", "teacher", "projectors") if hasattr(self, name))
        found = []
        if config.assistant == HERE:
            settings = {"rate": FRESH_RATE, "weight_decay": 0.01}
            found.append(Stage("assistant", self._learn_labels, {"source.*": 1.0}, judged_by="loss", settings=settings))
        if config.joint:
            rates = {**student, "adapted.*": RECTIFY_RATE / rate}
            found.append(_label_free("adapt", self._adapt, rates, {**whole, "batch": 2}, gone, self._take_over))
            return tuple(found)
        if config.rectify.does_something:
            settings = {**whole, "rate": RECTIFY_RATE, "batch": 2, "epochs": 1}
            found.append(_label_free("rectify", self._rectify, {"adapted.*": 1.0}, settings, (), self._take_over))
        found.append(_label_free("distil", self._distil, student, whole, gone, None))
        return tuple(found)

    def ensemble(self, image_CHW: Tensor, valid_HW: Tensor | None = None) -> Ensemble:
        """What the student would be taught about one panorama, in the panorama's own columns."""
        valid_HW = torch.ones_like(image_CHW[0], dtype=torch.bool) if valid_HW is None else valid_HW
        seen = self._see(Batch(image_CHW[None], valid_HW[None], None, ("",)))
        found = self._distillation.ensemble(seen, 0, str(self._identity))
        return Ensemble(seen.frames[0].restore(found.prob_KHW), found.report, found.is_from_cache)

    def config_at_rest(self) -> GoodSamConfig:
        """The student needs neither the assistant, nor what was said about it, nor what it began from."""
        assistant: dict[str, Any] = {"assistant": GONE, "assistant_size": "b0", "renamed": {}, "unanswered": ()}
        return self.config.model_copy(update={**assistant, "student_start": None, "cache": None})

    def _take_over(self) -> None:
        """Rectification begins with the source's weights, which may have been learnt since this was built."""
        self.adapted.load_state_dict(self.source.state_dict())

    def _learn_labels(self, batch: Batch, moment: Moment) -> Losses:
        """The assistant's own schooling on labelled pictures, or on perspective views of labelled panoramas."""
        if batch.label_BHW is None:
            raise SettingsError(
                "The assistant is trained here, which needs labels, and this split has none. Name the labelled split "
                "with --set stages.assistant.split=..., or give a trained assistant."
            )
        image_BCHW, label_BHW = batch.image_BCHW, batch.label_BHW
        if self.config.cut_views:
            image_BCHW, label_BHW = _cut_views(image_BCHW, label_BHW, moment, self._lens(image_BCHW), self.task.ignore)
        logits_BKHW = self.source(image_BCHW)
        return {"loss": class_map_loss("ce", logits_BKHW, label_BHW, ignore=self.task.ignore)}

    def _rectify(self, batch: Batch, _: Moment) -> Losses:
        return self._rectification.losses(self._see(batch))

    def _distil(self, batch: Batch, moment: Moment) -> Losses:
        return self._distillation.losses(batch, self._see(batch), moment, str(self._identity))

    def _adapt(self, batch: Batch, moment: Moment) -> Losses:
        """Both at once: the ensemble of each step is the assistant's of that step, and no gradient goes back to it."""
        seen = self._see(batch)
        rectified = self._rectification.losses(seen)
        taught = self._distillation.losses(batch, seen, moment, None)
        return {**rectified, **taught, "loss": rectified["loss"] + taught["loss"]}

    def _see(self, batch: Batch) -> Seen:
        if self.config.assistant == GONE:
            raise SettingsError(
                "This student has finished learning, and its assistant is gone. Start a run of its own."
            )
        return see(batch.image_BCHW, batch.valid_BHW, self.config.windows, self._lens(batch.image_BCHW))

    def _lens(self, image_BCHW: Tensor) -> Lens:
        return lens_of(self.task.sensor, (image_BCHW.shape[-2], image_BCHW.shape[-1]))

    def _shown_to_sam(self, image_CHW: Tensor) -> Tensor:
        """All bands if SAM takes as many; else the three that look like a photograph."""
        if self.task.sam.anatomy.bands == len(image_CHW):
            return image_CHW
        return image_CHW[list(self.task.sensor.display)]


def _label_free(
    name: str,
    loss: Callable[[Batch, Moment], Losses],
    learns: dict[str, float],
    settings: dict[str, Any],
    discards: tuple[str, ...],
    begin: Callable[[], None] | None,
) -> Stage:
    """A stage that may not even choose its best weights by labels."""
    return Stage(
        name, loss, learns, needs_labels=False, judged_by="loss", settings=settings, discards=discards, begin=begin
    )


def _widths(assistant: Assistant) -> tuple[int, ...]:
    if assistant.widths is None:
        raise SettingsError(
            f"A {type(assistant.net).__name__} as assistant shows no levels of features. Set the method's "
            "distil.features to 0, or take a SegFormer."
        )
    return assistant.widths


def _thin_classes(classes: tuple[str, ...], config: GoodSamConfig) -> NDArray[np.bool_]:
    """Which classes are a few pixels wide."""
    strangers = [name for name in config.thin or () if name not in classes]
    if strangers:
        raise unknown("class", strangers[0], classes)
    thin = THIN if config.thin is None else frozenset(config.thin)
    return np.array([name in thin for name in classes], np.bool_)


def _cut_views(image_BCHW: Tensor, label_BHW: Tensor, moment: Moment, lens: Lens, ignore: int) -> tuple[Tensor, Tensor]:
    """A perspective view of each panorama or fisheye, looking anywhere near the horizon."""
    if not isinstance(lens, PanoramaLens | FisheyeLens):
        raise SettingsError(
            "cut_views needs to know where each pixel looks: give the sensor geometry equirectangular or fisheye, or "
            "leave the method's cut_views out where images are perspective already."
        )
    reach = lens.reach[1]
    side = max(SMALLEST_SIDE, round(image_BCHW.shape[-1] * VIEW_DEG / np.degrees(reach)))
    widest = np.pi if lens.wraps else max(0.0, (reach - np.radians(VIEW_DEG)) / 2)
    seen_11HW = (lens.area_HW > 0)[None, None].to(label_BHW.device)
    images, labels = [], []
    for place, image_CHW, label_HW in zip(moment.places, image_BCHW, label_BHW, strict=True):
        turn, tilt = torch.rand(2, generator=moment.generator(VIEW, place)).tolist()
        look = Look((2 * turn - 1) * widest, (2 * tilt - 1) * VIEW_TILT, VIEW_DEG, (side, side))
        images.append(cut_view(image_CHW[None], look, lens=lens)[0])
        label_hw, seen_hw = (
            cut_view(part_11HW, look, mode="nearest", lens=lens)[0, 0]
            for part_11HW in (label_HW[None, None], seen_11HW)
        )
        labels.append(label_hw.where(seen_hw, ignore))
    return torch.stack(images), torch.stack(labels)
