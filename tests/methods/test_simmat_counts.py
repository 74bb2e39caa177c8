"""SimMAT: how many parameters learn, of every part with every strategy, and what a checkpoint takes."""

from collections.abc import Callable

import pytest
import torch

from sensam.methods.base import Task
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.methods.tuning import STRATEGIES, Strategy
from sensam.nn.surgery import choose, freeze_all_but, holdings
from sensam.sam.anatomy import anatomy
from sensam.sam.model import Sam
from tests.methods.small_simmat import sensor_of

with torch.device("meta"):
    VIT_B = Sam(anatomy("b"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "total"),
    [
        ("full", 93_734_503),
        ("probe", 3_741_571),
        ("adapter", 3_908_979),
        ("lora", 4_280_451),
        ("prompt", 4_408_451),
        ("prefix", 4_408_451),
    ],
)
def test_trained_parameters_of_vit_b_with_six_bands(strategy: Strategy, total: int) -> None:
    with torch.device("meta"):
        task = Task(sensor_of(6), ("a", "b"), Sam(anatomy("b")), size=1024)
        method = SimMat(task, SimMatConfig(strategy=strategy))
    sizes = {name: parameter.numel() for name, parameter in method.named_parameters()}
    assert sum(sizes[name] for name in choose(sizes, method.stages[0].learns)) == total


def test_a_checkpoint_of_vit_b_with_lora_stays_below_20_megabytes() -> None:
    with torch.device("meta"):
        task = Task(sensor_of(6), ("a", "b"), Sam(anatomy("b")), size=1024)
        method = SimMat(task, SimMatConfig())
    learns = choose((name for name, _ in method.named_parameters()), method.stages[0].learns)
    held = holdings(method, set(learns))
    assert set(held) == set(learns)  # nothing but the transfer layer and LoRA
    assert sum(tensor.numel() * 4 for tensor in held.values()) < 20e6


TUNED = {
    "full": 89_670_912 + 4_058_340,
    "probe": 3_736_320,
    "adapter": 3_698_016 + 205_712,
    "lora": 3_686_400 + 588_800,
    "prompt": 3_686_400 + 716_800,
    "prefix": 3_686_400 + 716_800,
}
PATCHES = 590_592  # of ViT-B's own embedding, which some projectors leave unused
SIZES: dict[str, Callable[[int], int] | int] = {
    "mat_conv": lambda bands: 576 * bands + 1795,
    "mat_gated": 790_727,  # with four bands
    "new_patch_embed": lambda bands: 196_608 * bands + 768,
    "linear_tuned_pe": lambda bands: 3 * bands + 3 + PATCHES,
    "mlp_tuned_pe": lambda bands: (9 * bands + 1) * 4 * bands + 12 * bands + 3 + PATCHES,
    "linear_frozen_pe": lambda bands: 3 * bands + 3,
    "linear_random_pe": lambda bands: 3 * bands + 3,
    "preconv(3,1,64)": lambda bands: 27 * bands + 3,
    "preattn(16,1,64)": lambda bands: 256 * 64 * bands + 64 + 12 * 64**2 + 13 * 64 + (64 + 1) * 768,
    "zeroshot": 0,
}
EVERY_COUNT = [(name, 4) for name in SIZES] + [("mat_conv", bands) for bands in (1, 2, 3, 9, 13)]


@pytest.mark.slow
@pytest.mark.parametrize(("projector", "bands"), EVERY_COUNT)
def test_trained_parameters_of_every_part_with_every_strategy(projector: str, bands: int) -> None:
    unused = projector in ("new_patch_embed", "linear_tuned_pe", "mlp_tuned_pe", "linear_random_pe")
    size = SIZES[projector]
    own = size if isinstance(size, int) else size(bands)
    for strategy in STRATEGIES if bands in (4, 13) else ("full", "lora"):
        with torch.device("meta"):
            task = Task(sensor_of(bands), ("a", "b"), VIT_B, size=1024)
            method = SimMat(task, SimMatConfig(projector=projector, strategy=strategy))
        moving = freeze_all_but(method, method.stages[0].learns)
        trained = sum(parameter.numel() for name, parameter in method.named_parameters() if name in moving)
        left_out = PATCHES if unused and strategy in ("full", "probe") else 0
        assert trained == own + TUNED[strategy] - left_out, strategy
