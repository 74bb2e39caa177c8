"""What a frozen SAM sees of three bands: the target of inheritance, computed or taken from where it was kept.

image B x C x H x W --triple--> B x 3 x H x W --SAM's encoder and first half of its neck--> second half --> target
                                                       student's tokens, branched and merged --> second half --> map
"""

from dataclasses import dataclass
from hashlib import blake2b
from math import lcm
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import refuse_new_views
from sensam.nn.shelf import Shelf
from sensam.sam.checkpoint import identify
from sensam.sam.encoder import ImageEncoder, Neck
from sensam.sensors import Sensor
from sensam.types import RANDOM_VIEW, Batch

TeacherInput = Literal["standardise", "raw"]


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of N triples for each of B images, and for which share of them no teacher had to look."""

    maps_RhwE: Tensor  # R = B * N
    avoided: float


class Tutor(nn.Module):
    """A SAM's image encoder that answers about triples of bands. Nothing in it ever learns."""

    def __init__(
        self,
        encoder: ImageEncoder,
        sensor: Sensor,
        *,
        reads: TeacherInput = "standardise",
        is_before_shared: bool = False,
        keep_in: Path | None = None,
        gigabytes: float = 20.0,
    ) -> None:
        super().__init__()
        if encoder.anatomy.bands != 3 or encoder.neck is None:
            raise SettingsError(
                f"A teacher looks at three bands through SAM's neck; this SAM takes {encoder.anatomy.bands}. "
                "Use a SAM as published, such as nano, b, l or h."
            )
        self.encoder = encoder
        self.reads, self.is_before_shared = reads, is_before_shared
        self._range = _raw_range(sensor) if reads == "raw" else None
        self._keep_in, self._gigabytes = keep_in, gigabytes
        self._shelf: Shelf | None = None

    @property
    def neck(self) -> Neck:
        """SAM's neck; the encoder owns it."""
        assert self.encoder.neck is not None
        return self.encoder.neck

    def share(self, aligned_RhwE: Tensor) -> Tensor:
        """What is compared: past the second half of SAM's neck, through which both sides go, or before it."""
        return aligned_RhwE if self.is_before_shared else self.finish(aligned_RhwE)

    def finish(self, aligned_RhwE: Tensor) -> Tensor:
        """The second half of SAM's neck; channels last."""
        map_REhw = self.neck.layer_norm2(self.neck.conv2(aligned_RhwE.permute(0, 3, 1, 2)))
        return map_REhw.permute(0, 2, 3, 1)

    @torch.no_grad()
    def look(self, planes_R3HW: Tensor) -> Tensor:
        """Targets of images whose three planes are chosen already; R x h x w x E."""
        tokens = self.encoder.tokens(planes_R3HW)
        aligned = self.neck.layer_norm1(self.neck.conv1(tokens.permute(0, 3, 1, 2)))
        return self.share(aligned.permute(0, 2, 3, 1)).float()

    @torch.no_grad()
    def teach(self, batch: Batch, image_BCHW: Tensor, triples_BN3: Tensor) -> Targets:
        """Targets for N triples of each image. The image is the batch's, unless noise was added to it.

        Where targets are kept, every one is rounded as the shelf rounds, so that finding it changes nothing.
        """
        planes_R3HW = self._planes(image_BCHW, batch.valid_BHW, triples_BN3)
        if self._keep_in is None:
            return Targets(self._look_at_all(planes_R3HW, len(batch)), 0.0)
        shelf = self._open_shelf(self._keep_in)
        precision = "half" if torch.is_autocast_enabled(image_BCHW.device.type) else "full"
        names = [f"{precision}|{name}" for name in _names(batch, triples_BN3)]
        kept = [shelf.get(name) for name in names]
        missed = [row for row, found in enumerate(kept) if found is None]
        if missed:
            seen = self._look_at_all(planes_R3HW[missed], len(batch)).half().float()
            for row, target in zip(missed, seen, strict=True):
                shelf.put(names[row], target)
                kept[row] = target
        target = torch.stack([found.to(planes_R3HW) for found in kept if found is not None])
        return Targets(target, 1 - len(missed) / len(names))

    def _look_at_all(self, planes_R3HW: Tensor, at_once: int) -> Tensor:
        return torch.cat([self.look(part) for part in planes_R3HW.split(at_once)])

    def _planes(self, image_BCHW: Tensor, valid_BHW: Tensor, triples_BN3: Tensor) -> Tensor:
        """The three planes of every triple, in its order; R x 3 x H x W."""
        if self._range is not None:
            gain_C, bias_C = (each.to(image_BCHW)[:, None, None] for each in self._range)
            image_BCHW = (image_BCHW * gain_C + bias_C) * valid_BHW[:, None]
        rows = torch.arange(len(image_BCHW), device=image_BCHW.device)[:, None, None]
        return image_BCHW[rows, triples_BN3.to(image_BCHW.device)].flatten(0, 1)

    def _open_shelf(self, folder: Path) -> Shelf:
        """One folder for each teacher, what it is shown and place of comparison, made when first needed."""
        if self._shelf is None:
            weights = {
                name: weight.detach().cpu().float().contiguous() for name, weight in self.encoder.state_dict().items()
            }
            facts = [identify(weights)[:16], self.reads, "before" if self.is_before_shared else "shared"]
            if self._range is not None:  # the same normalised pixels are others to this teacher under another range
                lines = b"".join(each.float().numpy().tobytes() for each in self._range)
                facts.append(blake2b(lines, digest_size=8).hexdigest())
            self._shelf = Shelf(folder / "-".join(facts), self._gigabytes)
        return self._shelf


def _names(batch: Batch, triples_BN3: Tensor) -> list[str]:
    """What each target is kept under: image, view, triple, and a glance at the pixels.

    Keys are unique in one data set only, and its files may change; the glance tells such cases apart.
    """
    if len(batch.views) != len(batch) or RANDOM_VIEW in batch.views:
        raise refuse_new_views("inherit")
    rows, columns = (max(1, side // 8) for side in batch.image_BCHW.shape[-2:])
    glances = batch.image_BCHW[..., ::rows, ::columns].half().cpu().numpy()
    return [
        f"{key}|{view}|{','.join(map(str, triple))}|{glance[sorted(set(triple))].tobytes().hex()}"
        for key, view, triples, glance in zip(batch.keys, batch.views, triples_BN3.tolist(), glances, strict=True)
        for triple in triples
    ]


def _raw_range(sensor: Sensor) -> tuple[Tensor, Tensor]:
    """Gain and bias from normalised values to the valid range of each band laid on -0.5 .. 0.5."""
    bare = [band.name for band in sensor.bands if band.valid_range is None]
    if bare:
        raise SettingsError(
            f"teacher_input: raw scales bands by their valid range, and {', '.join(bare)} of {sensor.name} has none. "
            "Add valid_range to the sensor, or use teacher_input: standardise."
        )
    mean_C, std_C = (torch.from_numpy(values) for values in sensor.statistics)
    low_C, high_C = torch.tensor([band.valid_range for band in sensor.bands if band.valid_range]).T
    return std_C / (high_C - low_C), (mean_C - low_C) / (high_C - low_C) - 0.5


def resampled(map_RhwE: Tensor, size: tuple[int, int], *, patch: int, onto: int) -> Tensor:
    """A student with another patch has another grid; SAM's space has the teacher's, of patches `onto`.

    Where the grids reach differently far beyond the image, both are continued to where they meet, so that what is
    compared lies in the same place.
    """
    if patch == onto:
        return map_RhwE
    block = lcm(patch, onto)  # pixels after which tokens of both end together
    reach = [
        -(-max(own * patch, theirs * onto) // block) * block
        for own, theirs in zip(map_RhwE.shape[1:3], size, strict=True)
    ]
    map_REhw = map_RhwE.permute(0, 3, 1, 2).float()
    below, beside = (to // patch - own for to, own in zip(reach, map_REhw.shape[2:], strict=True))
    map_REhw = F.pad(map_REhw, (0, beside, 0, below), mode="replicate")
    whole = (reach[0] // onto, reach[1] // onto)
    found_REhw = F.interpolate(map_REhw, size=whole, mode="bilinear", antialias=True)
    return found_REhw[..., : size[0], : size[1]].permute(0, 2, 3, 1)
