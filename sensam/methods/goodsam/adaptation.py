"""Multi-level knowledge adaptation: what the student takes over, whole and in windows, from answers and features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.data.panorama import WindowPlan
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

    def forward(self, student: Levels, assistant: Levels, plan: WindowPlan) -> Tensor:
        """Mean over levels and places of 1 - cosine. Student's maps B x D x .. of panoramas, assistant's (B V) x D x ..
        of their windows, a row for each panorama after another.
        """
        terms = []
        for stride, project, ours, theirs in zip(STRIDES, self.levels, student, assistant, strict=True):
            cropped = crop_level(project(ours), plan, stride)
            target = F.adaptive_avg_pool2d(theirs, (cropped.shape[-2], cropped.shape[-1])).detach()
            terms.append((1 - F.cosine_similarity(cropped.flatten(0, 1), target, dim=1)).mean())
        return torch.stack(terms).mean()


def crop_level(level_BDhw: Tensor, plan: WindowPlan, stride: int) -> Tensor:
    """The student's features in the cells the assistant has for each window: B x V x D x rows x columns.

    Cell i of a level looks at pixel i * stride, in a panorama as in a window; where windows begin between two cells,
    features are interpolated, around the seam as well.
    """
    rows, columns = (-(-side // stride) for side in plan.shape)
    crops = []
    for top, left in plan.corners:
        across = _between(level_BDhw, left / stride, columns, wraps=plan.wraps)
        crops.append(_between(across.transpose(-1, -2), top / stride, rows, wraps=False).transpose(-1, -2))
    return torch.stack(crops, 1)


def _between(map_BDhw: Tensor, start: float, count: int, *, wraps: bool) -> Tensor:
    """`count` columns from the place `start` on, linear between cells."""
    whole, part = int(start), start - int(start)
    length = map_BDhw.shape[-1]
    cells = whole + torch.arange(count + 1, device=map_BDhw.device)
    cells = cells % length if wraps else cells.clamp(max=length - 1)
    values = map_BDhw.index_select(-1, cells)
    return values[..., :-1] if part == 0 else values[..., :-1] * (1 - part) + values[..., 1:] * part
