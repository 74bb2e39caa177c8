"""Every parameter that learns is in the optimiser once, at its rate, and decays only where that makes sense."""

import pytest
from torch import nn

from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.train.groups import decays, parameter_groups

TINY = Anatomy("tiny", 32, 2, 2, (1,), window=3, patch=8, image_size=64, embedding=32)


@pytest.fixture
def network() -> nn.Module:
    return nn.ModuleDict({"encoder": ImageEncoder(TINY), "head": nn.Conv2d(32, 2, 1)})


def test_every_trainable_parameter_comes_exactly_once(network: nn.Module) -> None:
    factors = freeze_all_but(network, {"encoder.patch_embed.*": 0.0, "encoder.*": 0.5, "head.*": 1.0})
    groups = parameter_groups(network.named_parameters(), factors, weight_decay=0.05)
    names = [name for group in groups for name in group["names"]]
    assert sorted(names) == sorted(factors)
    assert len(names) == len(set(names))
    assert {id(p) for group in groups for p in group["params"]} == {
        id(p) for p in network.parameters() if p.requires_grad
    }
    for group in groups:
        assert {factors[name] for name in group["names"]} == {group["factor"]}


def test_norms_biases_and_tables_of_positions_do_not_decay(network: nn.Module) -> None:
    decaying = {name for name, parameter in network.named_parameters() if decays(name, parameter)}
    assert "encoder.pos_embed" not in decaying
    assert not any("rel_pos" in name or "norm" in name or name.endswith("bias") for name in decaying)
    assert {"encoder.patch_embed.projection.weight", "encoder.layers.0.mlp.lin1.weight", "head.weight"} <= decaying


def test_a_flag_lets_everything_decay_as_the_authors_did(network: nn.Module) -> None:
    factors = freeze_all_but(network, {"*": 1.0})
    (group,) = parameter_groups(network.named_parameters(), factors, weight_decay=0.05, decay_all=True)
    assert group["weight_decay"] == 0.05
    assert len(group["params"]) == len(list(network.parameters()))
