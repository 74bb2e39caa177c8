"""What is known of a panorama without labels: SAM's masks of its windows, and their ensemble with the assistant."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.plan import ViewPlan
from sensam.methods.goodsam.cache import (
    Cache,
    Identity,
    key_of,
    pack_ensemble,
    pack_masks,
    unpack_ensemble,
    unpack_masks,
)
from sensam.methods.goodsam.fusion import FusionReport, fuse_windows
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.sam.automatic import generate
from sensam.sam.model import Sam
from sensam.sam.regions import Regions

Answer = Callable[[Tensor], Tensor]  # B x C x h x w -> logits B x K x h x w
CODING = 1  # raised whenever what is kept on disk would come out differently


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """What the student is taught at each pixel, and what became of the masks."""

    prob_KHW: Tensor
    report: FusionReport
    is_from_cache: bool


class Knowledge:
    """Asks the teachers about panoramas in their own frame, each once."""

    def __init__(
        self,
        config: GoodSamConfig,
        sam: Sam,
        shown: Callable[[Tensor], Tensor],
        thin_K: NDArray[np.bool_],
        cache: Cache,
    ) -> None:
        self.config, self.sam, self.shown, self.thin_K, self.cache = config, sam, shown, thin_K, cache
        self._sam_identity = Identity(sam)
        self.asked = 0  # panoramas for which SAM had to work

    def masks(self, image_CHW: Tensor, valid_HW: Tensor, plan: ViewPlan, key: str) -> tuple[Regions, ...]:
        """SAM's masks of every window."""
        own = key_of(CODING, key, str(self._sam_identity), self.config.masks.model_dump(), *plan.key)
        kept = self.cache.find("masks", own)
        if kept is not None:
            return unpack_masks(kept)
        self.asked += 1
        settings = self.config.masks.automatic()
        windows = zip(plan.cut(self.shown(image_CHW)[None])[0], plan.cut_valid(valid_HW[None])[0], strict=True)
        found = tuple(generate(self.sam, window, settings, valid_HW=valid.cpu().numpy()) for window, valid in windows)
        self.cache.keep("masks", own, pack_masks(found))
        return found

    @torch.no_grad()
    def ensemble(
        self, image_CHW: Tensor, valid_HW: Tensor, plan: ViewPlan, key: str, answer: Answer, identity: str | None
    ) -> Ensemble:
        """The ensemble; kept under the assistant's identity, or made each time where that is None (it is learning)."""
        settings = self.config.fusion.model_dump(exclude={"output", "min_confidence"})
        mask_settings = self.config.masks.model_dump() if self.config.fusion.strength else None
        parts = (CODING, key, str(self._sam_identity), mask_settings, *plan.key, plan.lens.wraps, settings)
        own = key_of(*parts, self.thin_K.tolist(), identity)
        kept = self.cache.find("ensembles", own) if identity else None
        found = kept
        if found is None:
            prob_KHW, report = self._fuse(image_CHW, valid_HW, plan, key, answer)
            found = {"prob": pack_ensemble(prob_KHW), "report": np.array(list(asdict(report).values()), np.float64)}
            if identity:
                self.cache.keep("ensembles", own, found)
        prob_KHW = unpack_ensemble(found["prob"])
        report = _read_report(found["report"])
        return Ensemble(torch.from_numpy(prob_KHW).to(image_CHW.device), report, kept is not None)

    def _fuse(
        self, image_CHW: Tensor, valid_HW: Tensor, plan: ViewPlan, key: str, answer: Answer
    ) -> tuple[NDArray[np.float32], FusionReport]:
        """Merge the assistant's windows, paint SAM's masks into each window, and merge again.

        Windows are fused before they are merged, so that no mask that a window cuts off reaches beyond it.
        """
        logits_VKhw = torch.cat([answer(window[None]) for window in plan.cut(image_CHW[None])[0]])
        merged_1KHW = plan.merge(logits_VKhw.float().softmax(1)[None])
        if not self.config.fusion.strength:
            return merged_1KHW[0].cpu().numpy(), FusionReport()
        masks = self.masks(image_CHW, valid_HW, plan, key)
        probs = list(plan.cut(merged_1KHW)[0].cpu().numpy())
        fused, report = fuse_windows(probs, masks, self.thin_K, self.config.fusion, list(plan.areas_Vhw.numpy()))
        if not report.is_used:
            return merged_1KHW[0].cpu().numpy(), report
        return plan.merge(torch.from_numpy(np.stack(fused))[None])[0].numpy(), report


def _read_report(values: NDArray[np.float64]) -> FusionReport:
    masks, accepted, rescued, ambiguous, purity, is_used = values.tolist()
    return FusionReport(int(masks), int(accepted), int(rescued), int(ambiguous), purity, bool(is_used))
