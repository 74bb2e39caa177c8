"""Muon moves the matrices of hidden layers, AdamW everything else, and each parameter is moved by one of them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sensam.config import TrainSettings
from sensam.errors import SettingsError
from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import Anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sam.hidden import is_hidden
from sensam.train.groups import parameter_groups
from sensam.train.optimisers import build_optimisers

TINY = Anatomy("tiny", 32, 2, 2, (1,), window=3, patch=8, image_size=64, embedding=32)
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")


def groups_of(network: nn.Module, learns: dict[str, float]) -> list[dict[str, Any]]:
    return parameter_groups(network.named_parameters(), freeze_all_but(network, learns), weight_decay=0.05)


@needs_muon
def test_each_parameter_is_moved_by_one_of_them() -> None:
    encoder = ImageEncoder(TINY)
    groups = groups_of(encoder, {"layers.0.*": 0.5, "*": 1.0})
    muon, adamw = build_optimisers(groups, TrainSettings(optimiser="muon"), fused=False)
    assert isinstance(muon, torch.optim.Muon)
    names = [name for each in (muon, adamw) for group in each.param_groups for name in group["names"]]
    assert sorted(names) == sorted(name for name, _ in encoder.named_parameters())
    assert {name for group in muon.param_groups for name in group["names"]} == {
        f"layers.{block}.{part}.weight"
        for block in range(2)
        for part in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")
    }
    assert {group["factor"] for group in muon.param_groups} == {0.5, 1.0}


@needs_muon
def test_steps_of_muon_turn_all_directions_alike_and_are_as_long_as_those_of_adamw() -> None:
    lengths = {}
    for kind in ("muon", "adamw"):
        network = nn.Sequential(nn.Linear(64, 64, bias=False))
        before: Tensor = network[0].weight.detach().clone()
        settings = TrainSettings(optimiser=kind, rate=1e-2)
        (optimiser,) = build_optimisers(groups_of(network, {"*": 1.0}), settings, fused=False)
        for group in optimiser.param_groups:
            group["weight_decay"] = 0.0
        u, _, v = torch.linalg.svd(torch.randn(64, 64))
        network[0].weight.grad = u @ torch.diag(torch.logspace(0, -1, 64)) @ v  # a tenfold range of strengths
        optimiser.step()
        step = before - network[0].weight.detach()
        lengths[kind] = float(step.square().mean().sqrt())
        if kind == "muon":
            strengths = torch.linalg.svdvals(step)
            assert strengths.max() < 2.5 * strengths.min()
    assert lengths["muon"] == pytest.approx(0.2 * lengths["adamw"], rel=0.2)  # as AdamW's become after the first


@needs_muon
def test_without_a_hidden_matrix_adamw_is_alone() -> None:
    groups = groups_of(nn.Sequential(nn.Conv2d(3, 4, 1)), {"*": 1.0})
    (optimiser,) = build_optimisers(groups, TrainSettings(optimiser="muon"), fused=False)
    assert isinstance(optimiser, torch.optim.AdamW)


def test_a_torch_without_muon_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(SettingsError, match=r"needs torch 2\.9"):
        build_optimisers([], TrainSettings(optimiser="muon"), fused=False)


def test_names_of_tables_and_first_layers() -> None:
    matrix = nn.Parameter(torch.zeros(4, 4))
    assert is_hidden("layers.0.mlp.lin1.weight", matrix)
    assert not is_hidden("layers.0.attn.rel_pos_h", matrix)
    assert not is_hidden("patch_embed.projection.weight", matrix)
    assert not is_hidden("mask_tokens.weight", matrix)
    assert not is_hidden("layers.0.mlp.lin1.bias", nn.Parameter(torch.zeros(4)))
