"""Clicks, boxes and masks as a person gives them, checked and brought to the encoder's pixels."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from sensam.errors import InputError
from sensam.sam.framing import Frame
from sensam.types import Prompts

PADDING = -10  # the label of a point that only fills a row of a batch


def check_prompts(
    points: ArrayLike | Tensor | None,
    labels: ArrayLike | Tensor | None,
    boxes: ArrayLike | Tensor | None,
    masks: ArrayLike | Tensor | None,
    frame: Frame,
    mask_size: tuple[int, int],
) -> Prompts:
    """One prompt or a batch, in native pixels, as `Prompts` in encoded pixels. Labels default to foreground."""
    if points is None and labels is not None:
        raise InputError("Labels were given without points. Give points=, one label for each.")
    points_NP2 = None if points is None else _points(points)
    labels_NP = None
    if points_NP2 is not None:
        labels_NP = _labels(labels, points_NP2, alone=boxes is None and masks is None)
        _check_inside(points_NP2, labels_NP, frame.native)
        points_NP2 = frame.place(points_NP2)
    boxes_N4 = None if boxes is None else _boxes(boxes, frame)
    masks_N1HW = None if masks is None else _masks(masks, mask_size)
    return Prompts(points_NP2, labels_NP, boxes_N4, masks_N1HW)


def _tensor(values: ArrayLike | Tensor, name: str) -> Tensor:
    try:
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values)  # torch takes none that runs backwards, as [:, ::-1] does
        tensor = torch.as_tensor(values, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError) as mistake:
        raise InputError(f"{name} must be numbers in rows of equal length, found {values!r}.") from mistake
    if tensor.numel() == 0:
        raise InputError(f"No prompt was given: {name} is empty. Leave it out, or give at least one.")
    if not tensor.isfinite().all():
        raise InputError(f"{name} hold NaN or infinite numbers. Every number of a prompt must be finite.")
    return tensor


def _points(points: ArrayLike | Tensor) -> Tensor:
    """N x P x 2 from one point (2), the points of one prompt (P x 2), or of many (N x P x 2)."""
    tensor = _tensor(points, "points")
    if tensor.ndim not in (1, 2, 3) or tensor.shape[-1] != 2:
        raise InputError(
            f"points have shape {tuple(tensor.shape)}; needed: (2,) for a click, (points, 2) for one prompt, "
            "or (prompts, points, 2)."
        )
    return tensor.reshape(-1 if tensor.ndim == 3 else 1, 1 if tensor.ndim == 1 else tensor.shape[-2], 2)


def _labels(labels: ArrayLike | Tensor | None, points_NP2: Tensor, *, alone: bool) -> Tensor:
    """One label a point; only a prompt with a box or a mask may consist of padding."""
    count = tuple(points_NP2.shape[:2])
    if labels is None:
        return torch.ones(count, dtype=torch.int64)
    tensor = _tensor(labels, "labels")
    if tensor.numel() != count[0] * count[1] or (tensor.ndim > 1 and tuple(tensor.shape) != count):
        raise InputError(
            f"labels have shape {tuple(tensor.shape)}, but there are {count[0]} prompts of {count[1]} points. "
            "Give one label for each point."
        )
    strange = sorted(set(tensor.flatten().tolist()) - {0.0, 1.0, float(PADDING)})
    if strange:
        raise InputError(f"Labels are 1 (inside), 0 (outside) or {PADDING} (padding), found {strange[0]:g}.")
    tensor = tensor.reshape(count).long()
    if alone and (tensor == PADDING).all(1).any():
        raise InputError("A prompt has nothing but padding. Give it at least one point labelled 1 or 0.")
    return tensor


def _check_inside(points_NP2: Tensor, labels_NP: Tensor, size: tuple[int, int]) -> None:
    height, width = size
    limit = points_NP2.new_tensor([width, height])
    outside = ((points_NP2 < 0) | (points_NP2 >= limit)).any(-1) & (labels_NP != PADDING)
    if outside.any():
        x, y = points_NP2[outside][0].tolist()
        raise InputError(
            f"The click ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels (x before y). "
            f"Needed: 0 <= x < {width} and 0 <= y < {height}."
        )


def _boxes(boxes: ArrayLike | Tensor, frame: Frame) -> Tensor:
    """N x 4 from one box (4) or many."""
    tensor = _tensor(boxes, "boxes")
    if tensor.ndim not in (1, 2) or tensor.shape[-1] != 4:
        raise InputError(f"boxes have shape {tuple(tensor.shape)}; needed: (4,) or (prompts, 4), each x0, y0, x1, y1.")
    corners_N22 = tensor.reshape(-1, 2, 2)
    height, width = frame.native
    limit = tensor.new_tensor([width, height])
    for wrong, reason in (
        ((corners_N22[:, 1] <= corners_N22[:, 0]).any(1), "has no area: needed x0 < x1 and y0 < y1"),
        (
            ((corners_N22 < 0) | (corners_N22 > limit)).flatten(1).any(1),
            f"lies partly outside the image of {width} x {height} pixels. Clip it to the image",
        ),
    ):
        if wrong.any():
            numbers = ", ".join(f"{v:g}" for v in corners_N22[wrong][0].flatten().tolist())
            raise InputError(f"The box ({numbers}) {reason}.")
    return frame.place(corners_N22).flatten(1)


def _masks(masks: ArrayLike | Tensor, size: tuple[int, int]) -> Tensor:
    """N x 1 x h x w from one mask of logits (h x w) or many (N x h x w, or N x 1 x h x w)."""
    tensor = _tensor(masks, "masks")
    several = tensor.ndim == 4 and tensor.shape[1] != 1
    if tensor.ndim not in (2, 3, 4) or several or tuple(tensor.shape[-2:]) != size:
        raise InputError(
            f"masks have shape {tuple(tensor.shape)}; needed: one mask of {size[0]} x {size[1]} logits a prompt, as in "
            "low_res_logits_NMhw of an earlier prediction's best()."
        )
    return tensor.reshape(-1, 1, *size)
