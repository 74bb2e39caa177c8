"""Class probabilities of a batch of tiles: from one model or several, as they lie or turned and mirrored."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.errors import InputError, SettingsError, WeightsError
from sensam.infer.segmenter import Segmenter
from sensam.radiometry import RadiometryContract

Augmentation = Literal["none", "flip", "turn"]
Precision = Literal["auto", "fp32", "bf16"]
Pose = tuple[bool, int]  # mirrored left to right, then quarter turns

POSES: dict[Augmentation, tuple[Pose, ...]] = {
    "none": ((False, 0),),
    "flip": ((False, 0), (True, 0)),
    "turn": tuple((mirrored, turns) for mirrored in (False, True) for turns in range(4)),
}


class Vote:
    """The mean probability over models and poses. Calling it takes and gives arrays: B x C x H x W, B x K x H x W."""

    def __init__(
        self,
        members: Sequence[Segmenter],
        *,
        augmentation: Augmentation = "none",
        precision: Precision = "auto",
        device: str = "auto",
    ) -> None:
        _refuse_strangers(members)
        if augmentation == "turn" and members[0].sensor.geometry != "nadir":
            raise SettingsError(
                f"--tta turn turns tiles by 90 degrees, but {members[0].sensor.name} sees the world upright. "
                "Use --tta flip."
            )
        self.members, self.poses = tuple(members), POSES[augmentation]
        self.device = torch.device(find_device(device))
        self.is_half = precision == "bf16" or (precision == "auto" and self.device.type == "cuda")
        for member in self.members:
            member.check_weights()
            member.network.to(self.device).eval()

    @property
    def model(self) -> Segmenter:
        """The first model; the others agree with it on sensor and classes."""
        return self.members[0]

    @property
    def batch(self) -> int:
        """Tiles at once that suit the device, where nobody says how many."""
        return 8 if self.device.type == "cuda" else 1

    @torch.inference_mode()
    def __call__(self, image_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        image = torch.from_numpy(image_BCHW).to(self.device)
        total: Tensor | None = None
        for member in self.members:
            for pose in self.poses:
                probability = self._probability(member, image, pose)
                total = probability if total is None else total.add_(probability)
        assert total is not None
        count = len(self.members) * len(self.poses)
        found: NDArray[np.float32] = (total if count == 1 else total / count).cpu().numpy()
        return found

    def _probability(self, member: Segmenter, image_BCHW: Tensor, pose: Pose) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_half):
            logits_BKHW = member.logits(_posed(image_BCHW, pose))
        wanted = (len(image_BCHW), len(member.classes))
        if logits_BKHW.ndim != 4 or logits_BKHW.shape[:2] != wanted:
            raise WeightsError(
                f"{member.name} answers {tuple(logits_BKHW.shape)} where {wanted[0]} x {wanted[1]} classes x rows x "
                "columns are needed. Its class list and its weights do not belong together."
            )
        logits_BKHW = _restored(logits_BKHW, pose)
        if logits_BKHW.shape[2:] != image_BCHW.shape[2:]:
            raise WeightsError(
                f"{member.name} answers {tuple(logits_BKHW.shape[2:])} pixels to {tuple(image_BCHW.shape[2:])}. "
                "A model for maps must answer at the size of its input."
            )
        probability = logits_BKHW.softmax(1, dtype=torch.float32)
        # One class tells of all: a number that is not finite spoils every probability of its pixel.
        if not probability[:, 0].sum().isfinite():
            raise InputError(f"{member.name} answers NaN or infinite numbers. Try --precision fp32, or another model.")
        return probability


def _posed(image: Tensor, pose: Pose) -> Tensor:
    mirrored, turns = pose
    image = image.flip(-1) if mirrored else image
    # rot90 copies even what it does not turn.
    return torch.rot90(image, turns, (-2, -1)).contiguous() if turns else image


def _restored(image: Tensor, pose: Pose) -> Tensor:
    mirrored, turns = pose
    back = torch.rot90(image, -turns, (-2, -1)) if turns else image
    return back.flip(-1) if mirrored else back


def find_device(wanted: str) -> str:
    """A device by its name; `auto` is a GPU where there is one."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError("There is no GPU here that PyTorch can use. Leave --device out, or give cpu.")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).cpu()  # a name may be right and nothing behind it, as with meta, mps or cuda:7
    except (RuntimeError, AssertionError, ImportError) as error:
        raise SettingsError(f"There is no device {wanted!r} here. Give cpu, cuda or cuda:0.") from error
    return str(device)


def _refuse_strangers(members: Sequence[Segmenter]) -> None:
    """Models vote only on the same question: the same classes of the same numbers."""
    if not members:
        raise SettingsError("No model was given. Give at least one.")
    first, *others = members
    for other in others:
        if other.classes != first.classes:
            raise SettingsError(
                f"{other.name} knows {', '.join(other.classes)}; {first.name} knows {', '.join(first.classes)}. "
                "An ensemble needs the same classes in the same order."
            )
        if RadiometryContract(other.sensor) != RadiometryContract(first.sensor):
            raise SettingsError(
                f"{other.name} and {first.name} have learnt other numbers (bands, units or statistics differ). "
                "An ensemble needs models trained on the same data set."
            )


Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
