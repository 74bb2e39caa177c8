"""What each projector and strategy of SimMAT trains and computes: counted on weights that are never made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from sensam.config import validate
from sensam.methods.base import Task
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.methods.tuning import Strategy
from sensam.nn.surgery import choose
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sensors import hyperspectral


@dataclass(frozen=True, slots=True)
class Part:
    """One combination: parameters that learn, and floating-point operations of one image and of one click."""

    projector: str
    strategy: Strategy
    sees: str
    trained: int
    total: int
    encoder_gflop: float
    decoder_gflop: float


def count_parts(
    anatomy: Anatomy, bands: int, projectors: Sequence[str], strategies: Sequence[Strategy], amount: int | None = None
) -> Iterator[Part]:
    """Every combination of the named parts on a SAM of this anatomy."""
    with torch.device("meta"):
        base = Sam(anatomy)
    for projector in projectors:
        for strategy in strategies:
            yield _count(base, bands, projector, strategy, amount)


@torch.no_grad()
def _count(base: Sam, bands: int, projector: str, strategy: Strategy, amount: int | None) -> Part:
    adds = strategy not in ("full", "probe")
    values = {"projector": projector, "strategy": strategy, "amount": amount if adds else None}
    config = validate(SimMatConfig, values, where="settings of simmat")
    task = Task(hyperspectral(bands), ("background", "region"), base, base.anatomy.image_size)
    method = SimMat(task, config).eval()
    sizes = {name: parameter.numel() for name, parameter in method.named_parameters()}
    learns = choose(sizes, method.stages[0].learns)
    sam = method.requires_grad_(False).sam
    sam.vision_encoder.use_attention("explicit")  # of which every product is counted
    side = base.anatomy.image_size
    image = torch.empty(1, bands, side, side, device="meta")
    encoder = FlopCounterMode(display=False)
    with encoder:
        embedding = sam.encode(image)
    decoder = FlopCounterMode(display=False)
    click_BNPE = torch.empty(1, 1, 2, base.anatomy.embedding, device="meta")  # a point, and the padding of no box
    with decoder:  # not by sam.decode, whose care for precision knows no such device
        sam.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=embedding,
            sparse_prompt_embeddings=click_BNPE,
            dense_prompt_embeddings=embedding,
            multimask_output=False,
        )
    projected = sam.vision_encoder.patch_embed.get_submodule("part")
    return Part(
        projector,
        strategy,
        str(projected.sees),
        sum(sizes[name] for name, factor in learns.items() if factor > 0),
        sum(sizes.values()),
        encoder.get_total_flops() / 1e9,
        decoder.get_total_flops() / 1e9,
    )
