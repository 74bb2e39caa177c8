"""SAM's decoder over another encoder: an inherited student, or three bands picked from many; clicks without labels."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from sensam.methods.tutor import Tutor, resampled
from sensam.nn.branches import Branches, Merge
from sensam.nn.selector import count_triples, draw_triples
from sensam.sam.encoder import ImageEncoder
from sensam.sam.model import Sam
from sensam.sensors import Sensor

PromptBy = Literal["rgb", "average", "neck"]
Triple = tuple[int, int, int]
AVERAGED = 16  # triples, balanced over the bands; fewer where there are no more


class MergedEncoder(nn.Module):
    """A student's image embedding in its teacher's space: of one triple, or the mean over several.

    The mean is taken before the shared half of SAM's neck, whose norm then gives it the strength SAM is used to.
    """

    def __init__(
        self, student: ImageEncoder, branches: Branches, merge: Merge, teacher: Tutor, triples: Sequence[Triple]
    ) -> None:
        super().__init__()
        self.student, self.branches, self.merge, self.teacher = student, branches, merge, teacher
        self.triples = tuple(triples)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        triples_BN3 = torch.tensor(self.triples).expand(len(image_BCHW), -1, -1)
        merged_BNhwE = self.merge(self.branches(self.student.tokens(image_BCHW), triples_BN3))
        patch = self.teacher.encoder.anatomy.patch
        size = (-(-image_BCHW.shape[-2] // patch), -(-image_BCHW.shape[-1] // patch))
        own = self.student.anatomy.patch
        return self.teacher.finish(resampled(merged_BNhwE.mean(1), size, patch=own, onto=patch)).permute(0, 3, 1, 2)


class PickedEncoder(nn.Module):
    """An encoder of three bands behind an image of many."""

    def __init__(self, encoder: nn.Module, triple: Triple) -> None:
        super().__init__()
        self.encoder, self.triple = encoder, triple

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return self.encoder(image_BCHW[:, list(self.triple)])


@dataclass(frozen=True)
class Inheritance:
    """The parts in which a student answers in SAM's space, for as long as fine-tuning has not thrown them away."""

    student: ImageEncoder
    branches: Branches
    merge: Merge
    teacher: Tutor

    def encoder(self, by: PromptBy, sensor: Sensor, triples: Sequence[Triple] | None = None) -> nn.Module:
        """What maps an image to the embedding that SAM's mask decoder reads."""
        if by == "neck":
            return self.student
        if triples is None:
            triples = [sensor.display] if by == "rgb" else averaged_triples(len(sensor.bands))
        return MergedEncoder(self.student, self.branches, self.merge, self.teacher, triples)


def averaged_triples(bands: int) -> tuple[Triple, ...]:
    """A fixed, balanced set of triples; the same for every model of so many bands."""
    drawn = draw_triples(torch.Generator().manual_seed(0), bands, min(AVERAGED, count_triples(bands))).tolist()
    return tuple(dict.fromkeys((first, second, third) for first, second, third in drawn))


def as_sam(sam: Sam, encoder: nn.Module, bands: int) -> Sam:
    """A SAM for images of so many bands: this encoder, and copies of the prompt encoder and mask decoder of `sam`."""
    with torch.device("meta"):
        adapted = Sam(replace(sam.anatomy, bands=bands))
    device = next(encoder.parameters()).device
    # Copied together, because they share the matrix that codes places.
    parts = deepcopy((sam.shared_image_embedding, sam.prompt_encoder, sam.mask_decoder))
    names = ("shared_image_embedding", "prompt_encoder", "mask_decoder")
    for name, part in zip(names, parts, strict=True):
        adapted.add_module(name, part.to(device))
    adapted.add_module("vision_encoder", encoder)
    return adapted.eval()
