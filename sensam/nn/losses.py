"""Losses between class maps: cross entropy, dice and focal over the labelled pixels alone, always in float32."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

MapLoss = Literal["ce", "dice", "focal", "ce+dice"]
_FOCUS = 2.0  # the exponent of the focal loss's paper (Lin et al. 2017)


def class_map_loss(
    kind: MapLoss, logits_BKHW: Tensor, label_BHW: Tensor, *, ignore: int, weights_K: Tensor | None = None
) -> Tensor:
    """One of the losses by name. Without a labelled pixel it is 0, and its gradients are 0 as well."""
    with torch.autocast(logits_BKHW.device.type, enabled=False):
        return _LOSSES[kind](logits_BKHW.float(), label_BHW, ignore, weights_K)


def cross_entropy(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int, weights_K: Tensor | None = None) -> Tensor:
    """Mean over labelled pixels, each counting as much as its class weighs."""
    total = F.cross_entropy(logits_BKHW, label_BHW, weights_K, ignore_index=ignore, reduction="sum")
    return total / _divisor(label_BHW, ignore, weights_K)


def focal(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int, weights_K: Tensor | None = None) -> Tensor:
    """Cross entropy in which pixels that are right already count less."""
    plain_BHW = F.cross_entropy(logits_BKHW, label_BHW, ignore_index=ignore, reduction="none")
    each_BHW = plain_BHW * (1 - torch.exp(-plain_BHW)).pow(_FOCUS)
    if weights_K is not None:
        each_BHW = each_BHW * weights_K[label_BHW.masked_fill(label_BHW == ignore, 0)]
    return each_BHW.sum() / _divisor(label_BHW, ignore, weights_K)


def dice(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int, weights_K: Tensor | None = None) -> Tensor:
    """One minus the soft Dice coefficient, averaged over the classes that the batch's labels contain."""
    known_BHW = label_BHW != ignore
    truth_BHWK = F.one_hot(label_BHW.masked_fill(~known_BHW, 0), logits_BKHW.shape[1]) * known_BHW[..., None]
    truth_BKHW = truth_BHWK.permute(0, 3, 1, 2).to(logits_BKHW.dtype)
    found_BKHW = logits_BKHW.softmax(1) * known_BHW[:, None]
    both_K, found_K, truth_K = (part.sum((0, 2, 3)) for part in (found_BKHW * truth_BKHW, found_BKHW, truth_BKHW))
    loss_K = 1 - 2 * both_K / (found_K + truth_K).clamp(min=1)
    share_K = (truth_K > 0).to(loss_K.dtype) if weights_K is None else (truth_K > 0) * weights_K
    return (loss_K * share_K).sum() / share_K.sum().clamp(min=torch.finfo(loss_K.dtype).tiny)


def _ce_and_dice(logits_BKHW: Tensor, label_BHW: Tensor, ignore: int, weights_K: Tensor | None) -> Tensor:
    overlap = dice(logits_BKHW, label_BHW, ignore, weights_K)
    return cross_entropy(logits_BKHW, label_BHW, ignore, weights_K) + overlap


def mass(label_BHW: Tensor, ignore: int, weights_K: Tensor | None = None) -> Tensor:
    """What the labelled pixels weigh together: cross entropy and focal loss are means over it."""
    known_BHW = label_BHW != ignore
    if weights_K is None:
        return known_BHW.sum()
    return (weights_K[label_BHW.masked_fill(~known_BHW, 0)] * known_BHW).sum()


def _divisor(label_BHW: Tensor, ignore: int, weights_K: Tensor | None) -> Tensor:
    """The mass, or 1 where no pixel is labelled, so that nothing is divided by zero."""
    total = mass(label_BHW, ignore, weights_K)
    return total.masked_fill(total == 0, 1)


_LOSSES: Mapping[MapLoss, Callable[[Tensor, Tensor, int, Tensor | None], Tensor]] = {
    "ce": cross_entropy,
    "dice": dice,
    "focal": focal,
    "ce+dice": _ce_and_dice,
}
