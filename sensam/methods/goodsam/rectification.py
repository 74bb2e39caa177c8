"""The rectification stage's loss: windows agree, classes end where SAM's outlines are, the source is not forgotten."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.methods.goodsam.assistant import Assistant
from sensam.methods.goodsam.boundary import boundary_losses, radius_in, trace
from sensam.methods.goodsam.consistency import anchor_loss, consistency_loss
from sensam.methods.goodsam.knowledge import Knowledge
from sensam.methods.goodsam.settings import RectifySettings
from sensam.methods.goodsam.sight import Seen


class Rectification:
    """Teaches `adapted`; `source` is what it began as."""

    def __init__(
        self,
        settings: RectifySettings,
        adapted: Assistant,
        source: Assistant,
        knowledge: Knowledge,
        thin_K: NDArray[np.bool_],
    ) -> None:
        self.settings, self.adapted, self.source = settings, adapted, source
        self.knowledge, self.thin_K = knowledge, torch.from_numpy(thin_K)

    def losses(self, seen: Seen) -> dict[str, Tensor]:
        """What is minimised as "loss", and its parts."""
        settings, plan = self.settings, seen.plan
        # Its batch norms have seen perspective images by the thousand; a few windows would only blur what they know.
        self.adapted.eval()
        windows_BVChw = plan.cut(seen.image_BCHW)
        valid_BVhw = plan.cut_valid(seen.valid_BHW)
        shape = windows_BVChw.shape[:2]
        log_prob_BVKhw = self.adapted(windows_BVChw.flatten(0, 1)).float().log_softmax(1).unflatten(0, shape)
        losses: dict[str, Tensor] = {}
        total = log_prob_BVKhw.sum() * 0
        if settings.consistency:
            losses["consistency"] = consistency_loss(
                log_prob_BVKhw.exp(), plan, divergence=settings.divergence, valid_BKhw=valid_BVhw
            )
            total = total + settings.consistency * losses["consistency"]
        doubtful_BVhw = torch.zeros_like(valid_BVhw)
        if settings.boundary:
            label, edge, doubtful_BVhw = self._boundaries(seen, log_prob_BVKhw)
            losses |= {"label": label, "edge": edge}
            total = total + settings.boundary * (label + settings.edge * edge)
        if settings.anchor:
            with torch.no_grad():
                frozen_BVKhw = self.source(windows_BVChw.flatten(0, 1)).float().softmax(1).unflatten(0, shape)
            # Where a mask tells the class, the source's answer is what is to be changed.
            losses["anchor"] = anchor_loss(log_prob_BVKhw, frozen_BVKhw, valid_BVhw & ~doubtful_BVhw)
            total = total + settings.anchor * losses["anchor"]
        return {"loss": total, **losses}

    def _boundaries(self, seen: Seen, log_prob_BVKhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both parts of the boundary loss over all windows of the batch, and the pixels that are told their class."""
        radius = radius_in(seen.plan.shape, self.settings)
        thin_K = self.thin_K.to(log_prob_BVKhw.device)
        found = []
        for row, log_prob_VKhw in enumerate(log_prob_BVKhw):
            frame = seen.frames[row]
            masks = self.knowledge.masks(seen.image_BCHW[row], seen.valid_BHW[row], seen.plan, frame.key)
            for log_prob_Khw, regions in zip(log_prob_VKhw, masks, strict=True):
                outlines = trace(regions, radius).to(log_prob_Khw.device)
                found.append(boundary_losses(log_prob_Khw, outlines, thin_K, self.settings))
        label = torch.stack([losses.label for losses in found]).mean()
        edge = torch.stack([losses.edge for losses in found]).mean()
        doubtful = torch.stack([losses.doubtful_hw for losses in found])
        return label, edge, doubtful.unflatten(0, log_prob_BVKhw.shape[:2])
