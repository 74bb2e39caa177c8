"""The cache: what goes in comes out, in little space, whole or not at all, and only for the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sensam.errors import InputError
from sensam.methods.goodsam.cache import (
    Cache,
    Identity,
    default_folder,
    key_of,
    pack_ensemble,
    pack_masks,
    unpack_ensemble,
    unpack_masks,
)
from sensam.sam.regions import no_regions
from tests.methods.goodsam.conftest import make_world, simulate_masks


def test_masks_come_back_as_they_were_and_small(tmp_path: Path) -> None:
    windows = [simulate_masks(make_world(seed).instance_HW, seed) for seed in range(3)] + [no_regions((48, 192))]
    cache = Cache(tmp_path)
    assert cache.find("masks", "ab12") is None
    cache.keep("masks", "ab12", pack_masks(windows))
    found = cache.find("masks", "ab12")
    assert found is not None
    again = unpack_masks(found)
    assert [len(window) for window in again] == [len(window) for window in windows]
    for ours, theirs in zip(again, windows, strict=True):
        assert np.array_equal(ours.masks(), theirs.masks())
        for part in ("boxes_N4", "scores_N", "stability_N", "points_N2"):
            assert np.array_equal(getattr(ours, part), getattr(theirs, part))
    plain = sum(window.masks().nbytes for window in windows)
    assert next(tmp_path.rglob("*.npz")).stat().st_size < plain / 20


def test_a_panorama_without_any_mask(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.keep("masks", "ab", pack_masks([no_regions((8, 8))] * 2))
    found = cache.find("masks", "ab")
    assert found is not None
    assert [len(window) for window in unpack_masks(found)] == [0, 0]


def test_ensembles_in_a_byte() -> None:
    prob = np.random.default_rng(0).dirichlet(np.full(19, 0.1), (8, 8)).astype(np.float32).transpose(2, 0, 1)
    again = unpack_ensemble(pack_ensemble(prob))
    assert np.abs(again - prob).max() < 0.01
    assert np.allclose(again.sum(0), 1, atol=1e-6)
    flat = np.full((255, 2, 2), 1 / 255, np.float32)
    assert np.allclose(unpack_ensemble(pack_ensemble(flat)), flat), "the least sure of the most classes"


def test_nothing_unfinished_is_ever_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", die)
        with pytest.raises(KeyboardInterrupt):
            cache.keep("masks", "ab", {"x": np.zeros(3)})
    assert cache.find("masks", "ab") is None
    cache.keep("masks", "ab", {"x": np.ones(3)})
    assert cache.find("masks", "ab")["x"].sum() == 3  # type: ignore[index]


def test_damage_and_folders_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.keep("masks", "ab", {"x": np.arange(1000)})
    path = next(tmp_path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="Remove it; it will be made again"):
        cache.find("masks", "ab")
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(InputError, match="Choose another folder"):
        Cache(blocked).keep("masks", "ab", {"x": np.zeros(1)})


def test_keys_and_identities() -> None:
    assert key_of("a", 1, {"b": 2}) == key_of("a", 1, {"b": 2}) != key_of("a", 1, {"b": 3})
    net = nn.Linear(2, 2)
    identity = Identity(net)
    before = str(identity)
    assert str(identity) == before == str(Identity(net))
    with torch.no_grad():
        net.weight.add_(1)
    assert str(identity) != before


def test_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/sensam/goodsam")
