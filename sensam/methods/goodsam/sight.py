"""How a label-free stage looks at a batch: windows over panoramas, each panorama in a frame of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sensam.data.coverage import plan_tangents
from sensam.data.lens import FisheyeLens, Lens, PanoramaLens
from sensam.data.panorama import plan_crops
from sensam.data.plan import ViewPlan
from sensam.errors import InputError, SettingsError
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
    plan: ViewPlan


def see(image_BCHW: Tensor, valid_BHW: Tensor, settings: WindowSettings, lens: Lens) -> Seen:
    """The same pixels for every pose in which augmentation may present a panorama."""
    plan = plan_for(lens, settings)
    frames = tuple(find_frame(*pair, wraps=lens.wraps) for pair in zip(image_BCHW, valid_BHW, strict=True))
    images = [frame.settle(image) for frame, image in zip(frames, image_BCHW, strict=True)]
    valid = [frame.settle(valid) for frame, valid in zip(frames, valid_BHW, strict=True)]
    return Seen(torch.stack(images), torch.stack(valid), frames, plan)


def plan_for(lens: Lens, settings: WindowSettings) -> ViewPlan:
    """The windows over an image; what does not go around is cropped to one window, unless more are asked for."""
    height, width = lens.size
    if lens.wraps and width < 2 * height:
        raise InputError(
            f"A panorama is at least twice as wide as it is high, found {height} x {width}. GoodSAM looks at whole "
            "panoramas: leave train.size at its default for this method."
        )
    if settings.kind == "gnomonic":
        return _tangents(lens, settings)
    columns = settings.columns or 1
    if lens.wraps and settings.columns is None:
        columns = int(max(1, min(COLUMNS, width // (SMALLEST_SIDE * (1 - settings.overlap)))))
    return plan_crops(lens, columns=columns, rows=settings.rows or 1, overlap=settings.overlap)


def _tangents(lens: Lens, settings: WindowSettings) -> ViewPlan:
    if not isinstance(lens, PanoramaLens | FisheyeLens):
        raise SettingsError(
            "Gnomonic windows need to know where each pixel looks: give the sensor geometry equirectangular or "
            "fisheye, or set windows.kind to crop."
        )
    plan = plan_tangents(
        lens, fov_deg=settings.angle, columns=settings.columns, rows=settings.rows, overlap=settings.overlap
    )
    if plan.shape[0] < SMALLEST_SIDE:
        raise InputError(
            f"An image of {lens.size[0]} x {lens.size[1]} pixels gives gnomonic windows of {plan.shape[0]} pixels, but "
            f"networks need {SMALLEST_SIDE}. Take larger images, a larger windows.fov_deg, or set windows.kind to crop."
        )
    return plan
