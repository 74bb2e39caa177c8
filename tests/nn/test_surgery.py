"""What is frozen stays frozen, also in its batch norms, and a pattern that fits nothing is a mistake."""

import pytest
import torch
from torch import nn

from sensam.errors import SettingsError
from sensam.nn.surgery import choose, freeze_all_but, settle


def network() -> nn.Module:
    parts = {"body": nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)), "head": nn.Linear(3, 2)}
    return nn.ModuleDict(parts)


def test_the_first_pattern_that_fits_counts() -> None:
    names = ["body.0.weight", "body.0.bias", "head.weight"]
    assert choose(names, {"*.bias": 2.0, "body.*": 0.5}) == {"body.0.weight": 0.5, "body.0.bias": 2.0}


def test_a_pattern_that_fits_nothing_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"'heed\.\*'"):
        freeze_all_but(network(), {"head.*": 1.0, "heed.*": 1.0})


def test_only_the_chosen_learn_and_a_factor_of_zero_excepts() -> None:
    module = network()
    moving = freeze_all_but(module, {"body.1.*": 0.0, "body.*": 0.5, "head.*": 1.0})
    assert moving == {"body.0.weight": 0.5, "body.0.bias": 0.5, "head.weight": 1.0, "head.bias": 1.0}
    assert {name for name, p in module.named_parameters() if p.requires_grad} == set(moving)


def test_a_frozen_part_keeps_its_running_means_whatever_train_says() -> None:
    module = network()
    freeze_all_but(module, {"head.*": 1.0})
    module.train()
    settle(module)
    assert module["head"].training
    assert not any(part.training for part in module["body"])
    before = module["body"][1].running_mean.clone()
    module["body"](torch.randn(8, 3))
    torch.testing.assert_close(module["body"][1].running_mean, before, rtol=0, atol=0)


def test_a_dropout_beside_what_learns_stays_on() -> None:
    module = network()
    freeze_all_but(module, {"body.0.*": 1.0})
    module.train()
    settle(module)
    assert module["body"][2].training
    assert not module["body"][1].training
