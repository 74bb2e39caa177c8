"""Multi-level knowledge adaptation: what the student takes over, whole and in windows, from answers and features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.data.plan import ViewPlan
from sensam.methods.goodsam.consistency import divergence_to
from sensam.nn.segformer import Levels

STRIDES = (4, 8, 16, 32)


def ensemble_loss(logits_BKHW: Tensor, ensemble_BKHW: Tensor, weight_BHW: Tensor) -> Tensor:
    """Mean KL from the ensemble to the student, every pixel by its weight; pixels of weight 0 say nothing."""
    apart_BHW = divergence_to(logits_BKHW.float().log_softmax(1), ensemble_BKHW, dim=1)
    return (apart_BHW * weight_BHW).sum() / weight_BHW.sum().clamp(min=1e-12)


def window_loss(
    student_BVKhw: Tensor, assistant_BVKhw: Tensor, valid_BVhw: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """The student's answers cropped to the windows, drawn to the assistant's answers on these windows (V of them)."""
    target = (assistant_BVKhw.float() / temperature).softmax(2)
    apart_BVhw = divergence_to((student_BVKhw.float() / temperature).log_softmax(2), target, dim=2)
    counts = valid_BVhw.to(apart_BVhw)
    return temperature**2 * (apart_BVhw * counts).sum() / counts.sum().clamp(min=1)


class Projectors(nn.Module):
    """A linear map from each level of the student to that of the assistant; thrown away after training.

    Without a bias, so that only directions of features are compared.
    """

    def __init__(self, student: tuple[int, ...], assistant: tuple[int, ...]) -> None:
        super().__init__()
        pairs = zip(student, assistant, strict=True)
        self.levels = nn.ModuleList(nn.Conv2d(ours, theirs, 1, bias=False) for ours, theirs in pairs)

    def forward(self, student: Levels, assistant: Levels, plan: ViewPlan) -> Tensor:
        """Mean over levels, and over places that show something, of 1 - cosine.

        Student's maps B x D x .. of panoramas, assistant's (B V) x D x .. of their windows, a row for each panorama
        after another.
        """
        terms = []
        for stride, project, ours, theirs in zip(STRIDES, self.levels, student, assistant, strict=True):
            cropped = plan.cut_level(project(ours), stride)
            target = F.adaptive_avg_pool2d(theirs, (cropped.shape[-2], cropped.shape[-1])).detach()
            apart_Mhw = 1 - F.cosine_similarity(cropped.flatten(0, 1), target, dim=1)
            shown_Vhw = (plan.areas_Vhw[..., ::stride, ::stride] > 0).to(apart_Mhw)
            shown_Mhw = shown_Vhw.repeat(len(cropped), 1, 1)
            terms.append((apart_Mhw * shown_Mhw).sum() / shown_Mhw.sum().clamp(min=1))
        return torch.stack(terms).mean()
