"""The loss of masks that answer clicks: dice with squares, and binary cross entropy, over the pixels that are known."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1e-5


def dice_ce(logits_NHW: Tensor, target_NHW: Tensor, known_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Dice, a mean over the masks that have known pixels, and cross entropy, a mean over known pixels; in float32.

    Where nothing is known both are 0, and so are their gradients.
    """
    with torch.autocast(logits_NHW.device.type, enabled=False):
        logits, known = logits_NHW.float(), known_NHW.float()
        target = target_NHW.float() * known
        found = logits.sigmoid() * known
        overlap_N = (found * target).sum((1, 2))
        squares_N = (found**2).sum((1, 2)) + (target**2).sum((1, 2))
        dice_N = 1 - (2 * overlap_N + SMOOTH) / (squares_N + SMOOTH)
        asked_N = known.amax((1, 2))
        dice = (dice_N * asked_N).sum() / asked_N.sum().clamp(min=1)
        cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * known
        return dice, cross.sum() / known.sum().clamp(min=1)
