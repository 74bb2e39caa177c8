"""A second look: what surrounds a box is cut out and enlarged to what the encoder was trained for."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sensam.sam.framing import Fit, embed
from sensam.sam.model import Sam
from sensam.types import Prompts

MARGIN = 0.75  # of a box's longer side: what is seen around it, for a thing is told by what it is not


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One mask for each box, at native resolution, with SAM's estimate of its IoU."""

    masks_NHW: Tensor
    scores_N: Tensor


@torch.no_grad()
def look_closer(sam: Sam, image_CHW: Tensor, boxes_N4: Tensor, *, longest_side: int | None, square: bool) -> Outlines:
    """Every box with an encoding of its own. What lies outside of its surroundings belongs to no mask."""
    size = (image_CHW.shape[-2], image_CHW.shape[-1])
    fit = Fit(longest_side, square=square)
    masks, scores = [], []
    for box_4 in boxes_N4:
        x0, y0, x1, y1 = surroundings(box_4, size)
        seen = embed(sam, image_CHW[:, y0:y1, x0:x1], fit)
        corners_22 = box_4.view(2, 2) - box_4.new_tensor([x0, y0])
        prompt = Prompts(boxes_N4=seen.frame.place(corners_22).view(1, 4).to(seen.embedding_1Ehw.device))
        logits_11hw, score_11 = sam.decode(seen.embedding_1Ehw, prompt, multimask=False)
        mask_HW = torch.zeros(size, dtype=torch.bool, device=logits_11hw.device)
        mask_HW[y0:y1, x0:x1] = seen.frame.restore(sam, logits_11hw)[0, 0] > 0
        masks.append(mask_HW)
        scores.append(score_11[0, 0].float())
    return Outlines(torch.stack(masks), torch.stack(scores))


def surroundings(box_4: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around a box as x0, y0, x1, y1; at the image's edge it is moved inwards before it is cut."""
    x0, y0, x1, y1 = box_4.tolist()
    side = round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN)) + 1
    left, right = _stretch((x0 + x1) / 2, side, size[1])
    upper, lower = _stretch((y0 + y1) / 2, side, size[0])
    return left, upper, right, lower


def _stretch(centre: float, side: int, limit: int) -> tuple[int, int]:
    start = min(max(0, round(centre - side / 2)), max(0, limit - side))
    return start, min(start + side, limit)
