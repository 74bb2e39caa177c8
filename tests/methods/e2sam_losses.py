"""What E2SAM makes of one batch: its losses, the triples that are drawn, and what reaches either encoder."""

import torch
from torch import Tensor

from sensam.methods.e2sam import E2Sam
from sensam.nn.surgery import freeze_all_but
from sensam.types import Batch
from tests.methods.conftest import moment


def inherit(method: E2Sam, batch: Batch, step: int = 0) -> dict[str, Tensor]:
    """The losses of one batch, as in training."""
    stage = method.stages[0]
    freeze_all_but(method, stage.learns)
    return dict(stage.loss(batch, moment(step, len(batch))))


def drawn(method: E2Sam, batch: Batch, step: int = 0, **when: int) -> Tensor:
    return method._draw(batch, moment(step, len(batch), **when))


def planes_of(image_BCHW: Tensor, triples_BN3: Tensor) -> Tensor:
    """The bands of the first triple of every image."""
    return torch.stack([image[triple[0]] for image, triple in zip(image_BCHW, triples_BN3, strict=True)])


def seen_by(method: E2Sam, batch: Batch) -> tuple[Tensor, Tensor]:
    """What reaches the teacher and what reaches the student."""
    given: dict[str, Tensor] = {}
    for name, encoder in (("teacher", method.teacher.encoder), ("student", method.net.encoder)):
        encoder.patch_embed.register_forward_pre_hook(lambda _, args, name=name: given.update({name: args[0]}))
    method.train()
    inherit(method, batch)
    return given["teacher"], given["student"]
