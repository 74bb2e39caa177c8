"""A second look: what surrounds a box is cut out and enlarged to what the encoder was trained for."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sensam.sam.framing import Fit, embed
from sensam.sam.model import Sam
from sensam.types import Prompts

MARGIN = 0.75  # of a box's longer side: what is seen around it, for a thing is told by what it is not
SLACK = 0.05  # of a box's sides: how far a mask may leave it, for so far off are boxes that hands draw


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """One mask for each box, at native resolution, with SAM's estimate of its IoU."""

    masks_NHW: Tensor
    scores_N: Tensor


@torch.no_grad()
def look_closer(sam: Sam, image_CHW: Tensor, boxes_N4: Tensor, fit: Fit) -> Outlines:
    """Every box with an encoding of its own; what lies outside of the box belongs to no mask."""
    size = (image_CHW.shape[-2], image_CHW.shape[-1])
    masks, scores = [], []
    for box_4 in boxes_N4:
        x0, y0, x1, y1 = surroundings(box_4, size)
        seen = embed(sam, image_CHW[:, y0:y1, x0:x1], fit)
        corners_22 = box_4.view(2, 2) - box_4.new_tensor([x0, y0])
        prompt = Prompts(boxes_N4=seen.frame.place(corners_22).view(1, 4).to(seen.embedding_1Ehw.device))
        logits_11hw, score_11 = sam.decode(seen.embedding_1Ehw, prompt, multimask=False)
        mask_HW = torch.zeros(size, dtype=torch.bool, device=logits_11hw.device)
        mask_HW[y0:y1, x0:x1] = seen.frame.restore(sam, logits_11hw)[0, 0] > 0
        masks.append(mask_HW.logical_and_(within(box_4, size).to(mask_HW.device)))
        scores.append(score_11[0, 0].float())
    return Outlines(torch.stack(masks), torch.stack(scores))


def surroundings(box_4: Tensor, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square around a box as x0, y0, x1, y1; at the image's edge it is moved inwards before it is cut."""
    x0, y0, x1, y1 = box_4.tolist()
    side = round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN)) + 1
    left, columns = moved_inside(round((x0 + x1 - side) / 2), side, size[1])
    upper, rows = moved_inside(round((y0 + y1 - side) / 2), side, size[0])
    return left, upper, left + columns, upper + rows


def within(box_4: Tensor, size: tuple[int, int]) -> Tensor:
    """The pixels of a box, drawn a little larger."""
    corners_22 = box_4.view(2, 2)
    slack_2 = SLACK * (corners_22[1] - corners_22[0])
    (left, upper), (right, lower) = (corners_22 + torch.stack([-slack_2, slack_2])).tolist()
    rows_H, columns_W = (torch.arange(length, device=box_4.device) for length in size)
    in_rows_H, in_columns_W = (rows_H >= upper) & (rows_H <= lower), (columns_W >= left) & (columns_W <= right)
    return in_rows_H[:, None] & in_columns_W


def moved_inside(start: int, side: int, length: int) -> tuple[int, int]:
    """Where a window of `side` pixels starts on an axis that it must not leave, and how many of them there are."""
    return max(0, min(start, length - side)), min(side, length)
