"""The distillation stage's loss: the student on whole panoramas, drawn to the ensemble and the assistant's windows."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sensam.methods.base import Moment
from sensam.methods.goodsam.adaptation import Projectors, ensemble_loss, window_loss
from sensam.methods.goodsam.assistant import Assistant
from sensam.methods.goodsam.knowledge import Ensemble, Knowledge
from sensam.methods.goodsam.settings import DistilSettings, FusionSettings
from sensam.methods.goodsam.sight import Seen
from sensam.nn.segformer import Levels, SegFormer
from sensam.types import Batch

LIGHT, NOISE = 41, 42  # purposes of random numbers


class Distillation:
    """Teaches `student`, and `projectors` along with it; no gradient reaches the assistant or the ensemble."""

    def __init__(
        self,
        settings: DistilSettings,
        fusion: FusionSettings,
        student: SegFormer,
        projectors: Projectors | None,
        assistant: Assistant,
        knowledge: Knowledge,
    ) -> None:
        self.settings, self.fusion, self.student, self.projectors = settings, fusion, student, projectors
        self.assistant, self.knowledge = assistant, knowledge

    def losses(self, batch: Batch, seen: Seen, moment: Moment, identity: str | None) -> dict[str, Tensor]:
        """What is minimised as "loss", and its parts. `identity` is the assistant's, None while it learns."""
        image_BCHW = self._relit(batch, moment) if self.student.training else batch.image_BCHW
        logits_BKHW, levels = self.student.analyse(image_BCHW)
        parts = self._from_ensemble(batch, seen, image_BCHW, logits_BKHW, identity)
        parts |= self._from_windows(batch, seen, logits_BKHW, levels)
        weights = self.settings.model_dump()
        total = logits_BKHW.sum() * 0
        for name, value in parts.items():
            total = total + weights.get(name, 0.0) * value  # what has no weight is there to be logged
        return {"loss": total, **parts}

    def _from_ensemble(
        self, batch: Batch, seen: Seen, image_BCHW: Tensor, logits_BKHW: Tensor, identity: str | None
    ) -> dict[str, Tensor]:
        settings, plan = self.settings, seen.plan
        if not (settings.ensemble or settings.student_on_windows):
            return {}
        target_BKHW, sure_BHW, parts = self._targets(seen, batch.valid_BHW, identity)
        if settings.ensemble:
            parts["ensemble"] = ensemble_loss(logits_BKHW, target_BKHW, plan.lens.area_HW.to(logits_BKHW) * sure_BHW)
        if settings.student_on_windows:
            windows_MChw, target_MKhw = (plan.cut(part).flatten(0, 1) for part in (image_BCHW, target_BKHW))
            weight_BVhw = plan.areas_Vhw.to(logits_BKHW) * plan.cut_valid(sure_BHW)
            answers_MKhw = self.student(windows_MChw)
            parts["student_on_windows"] = ensemble_loss(answers_MKhw, target_MKhw, weight_BVhw.flatten(0, 1))
        return parts

    def _from_windows(self, batch: Batch, seen: Seen, logits_BKHW: Tensor, levels: Levels) -> dict[str, Tensor]:
        settings, plan = self.settings, seen.plan
        if not (settings.windows or settings.features):
            return {}
        parts = {}
        answers_BVKhw, theirs = self._ask(plan.cut(batch.image_BCHW))
        if settings.windows:
            valid_BVhw = plan.cut_valid(batch.valid_BHW)
            cropped_BVKhw = plan.cut(logits_BKHW)
            parts["windows"] = window_loss(cropped_BVKhw, answers_BVKhw, valid_BVhw, temperature=settings.temperature)
        if self.projectors is not None:
            parts["features"] = self.projectors(levels, theirs, plan)
        return parts

    @torch.no_grad()
    def _ask(self, windows_BVChw: Tensor) -> tuple[Tensor, Levels]:
        """What the assistant says of each window, and its features where the student is to have them too."""
        shape, windows = windows_BVChw.shape[:2], windows_BVChw.flatten(0, 1)
        self.assistant.eval()
        if self.projectors is None:
            return self.assistant(windows).unflatten(0, shape), ()
        logits, levels = self.assistant.analyse(windows)
        return logits.unflatten(0, shape), levels

    def _targets(self, seen: Seen, valid_BHW: Tensor, identity: str | None) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The ensemble in the columns of the batch, which of its pixels are sure, and what to log."""
        found = [self.ensemble(seen, row, identity) for row in range(len(seen.frames))]
        rows = [frame.restore(each.prob_KHW) for frame, each in zip(seen.frames, found, strict=True)]
        prob_BKHW = torch.stack(rows)
        best_BHW, class_BHW = prob_BKHW.max(1)
        sure_BHW = (best_BHW >= self.fusion.min_confidence) & valid_BHW
        if self.fusion.output == "hard":
            prob_BKHW = F.one_hot(class_BHW, prob_BKHW.shape[1]).movedim(-1, 1).to(prob_BKHW)
        facts = {"purity": [each.report.purity for each in found], "cached": [each.is_from_cache for each in found]}
        return prob_BKHW, sure_BHW, {name: prob_BKHW.new_tensor(values).mean() for name, values in facts.items()}

    def ensemble(self, seen: Seen, row: int, identity: str | None) -> Ensemble:
        """The ensemble of one panorama, in its frame."""
        self.assistant.eval()
        return self.knowledge.ensemble(
            seen.image_BCHW[row], seen.valid_BHW[row], seen.plan, seen.frames[row].key, self.assistant, identity
        )

    def _relit(self, batch: Batch, moment: Moment) -> Tensor:
        """The student's image under another light and noise; teachers see it as it is."""
        settings, image_BCHW = self.settings, batch.image_BCHW
        if not (settings.brightness or settings.noise):
            return image_BCHW
        rows = []
        for place, image_CHW in zip(moment.places, image_BCHW, strict=True):
            offset_C = torch.rand(len(image_CHW), generator=moment.generator(LIGHT, place)) * 2 - 1
            noise_CHW = torch.randn(image_CHW.shape, generator=moment.generator(NOISE, place))
            change_CHW = settings.brightness * offset_C[:, None, None] + settings.noise * noise_CHW
            rows.append(image_CHW + change_CHW.to(image_CHW))
        return torch.where(batch.valid_BHW[:, None], torch.stack(rows), image_BCHW)
