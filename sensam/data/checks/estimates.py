"""What training will cost: samples of an epoch, time to read them, memory and time of a step; roughly."""

import time
from dataclasses import dataclass

import numpy as np

from sensam.data.checks.survey import Survey

# Of SAM's ViT-B at 1024 x 1024 with 3 bands, measured; both grow with the number of pixels.
FORWARD_GFLOP = 980
TRAINING_MIB = 4460
BACKWARD_TOO = 3  # a step is a forward pass and about twice as much backwards
WEIGHTS_MIB = 90 * 4 * 4  # 90 M parameters, gradients and the two moments of AdamW, in float32
REFERENCE_SIDE = 1024
PATCH = 16
USUAL_SIZE = 512


@dataclass(frozen=True, slots=True)
class Estimate:
    """One epoch over the first split with labels, or over the first one."""

    split: str
    size: int
    samples: int
    reading_seconds: float  # by one worker
    sample_mib: float  # of pixels, as float32
    step_mib: float  # of a batch of one, ViT-B, without checkpointing
    epoch_seconds: float  # ViT-B, on this processor, all cores


def estimate(survey: Survey) -> Estimate | None:
    """None where no image could be read."""
    labelled = [split for split in survey.dataset.splits if survey.counts(split)[:-1].any()]
    split = next(iter(labelled or [facts.item.split for facts in survey.items]), None)
    if split is None:
        return None
    items = survey.of(split)
    side = int(np.median([min(facts.size) for facts in items]))
    size = min(USUAL_SIZE, max(PATCH, side // PATCH * PATCH))
    samples = sum(max(1, facts.size[0] // size) * max(1, facts.size[1] // size) for facts in items)
    share = (size / REFERENCE_SIDE) ** 2
    bands = len(survey.dataset.sensor.bands)
    return Estimate(
        split=split,
        size=size,
        samples=samples,
        reading_seconds=sum(facts.seconds for facts in items),
        sample_mib=bands * size**2 * 4 / 2**20,
        step_mib=WEIGHTS_MIB + TRAINING_MIB * share,
        epoch_seconds=samples * BACKWARD_TOO * FORWARD_GFLOP * share / _gflop_per_second(),
    )


def _gflop_per_second(side: int = 768) -> float:
    """How fast this processor multiplies matrices; the best of three, because others may be working too."""
    matrix = np.ones((side, side), np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return float(2 * side**3 / min(times) / 1e9)
