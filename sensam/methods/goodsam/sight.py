"""How a label-free stage looks at a batch: windows over panoramas, each panorama in a frame of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sensam.data.panorama import WindowPlan, plan_windows
from sensam.errors import InputError
from sensam.methods.goodsam.frame import Frame, find_frame
from sensam.methods.goodsam.settings import WindowSettings
from sensam.nn.segformer import SMALLEST_SIDE

COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """Panoramas in their own frames, and the windows over them."""

    image_BCHW: Tensor
    valid_BHW: Tensor
    frames: tuple[Frame, ...]
    plan: WindowPlan


def see(image_BCHW: Tensor, valid_BHW: Tensor, settings: WindowSettings, *, wraps: bool) -> Seen:
    """The same pixels for every pose in which augmentation may present a panorama."""
    plan = plan_for((image_BCHW.shape[-2], image_BCHW.shape[-1]), settings, wraps=wraps)
    frames = tuple(find_frame(*pair, wraps=wraps) for pair in zip(image_BCHW, valid_BHW, strict=True))
    images = [frame.settle(image) for frame, image in zip(frames, image_BCHW, strict=True)]
    valid = [frame.settle(valid) for frame, valid in zip(frames, valid_BHW, strict=True)]
    return Seen(torch.stack(images), torch.stack(valid), frames, plan)


def plan_for(size: tuple[int, int], settings: WindowSettings, *, wraps: bool) -> WindowPlan:
    """The windows over a panorama; an image that does not go around is one window, unless more are asked for."""
    if not wraps:
        columns = settings.columns or 1
        return plan_windows(size, columns=columns, rows=settings.rows, overlap=settings.overlap, wraps=False)
    if size[1] < 2 * size[0]:
        raise InputError(
            f"A panorama is at least twice as wide as it is high, found {size[0]} x {size[1]}. GoodSAM looks at whole "
            "panoramas: leave train.size at its default for this method."
        )
    most = int(max(1, min(COLUMNS, size[1] // (SMALLEST_SIDE * (1 - settings.overlap)))))
    return plan_windows(size, columns=settings.columns or most, rows=settings.rows, overlap=settings.overlap)
