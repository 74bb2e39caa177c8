"""Whose neck a student of E2SAM begins to learn classes with, where it is neither its teacher's nor random."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sensam.errors import SettingsError
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.rebuilding import build_method
from sensam.sam.model import Sam
from sensam.sam.weights import save_sam
from tests.tiny_sam import TINY

Make = Callable[..., Any]


def test_a_neck_can_be_another_sams(make_task: Make, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = Sam(TINY)
    save_sam(other, tmp_path / "other")
    task, settings = make_task(3), {"neck_init": str(tmp_path / "other")}
    borrowed, usual = (build_method("e2sam", task, each) for each in (settings, {}))
    neck, theirs = borrowed.net.encoder.neck.state_dict(), other.vision_encoder.neck.state_dict()
    assert all(torch.equal(neck[name], weight) for name, weight in theirs.items())
    rest = [{n: w for n, w in each.state_dict().items() if ".neck." not in n} for each in (borrowed, usual)]
    assert all(torch.equal(weight, rest[1][name]) for name, weight in rest[0].items())
    assert borrowed.config_at_rest() == usual.config  # what is saved can be loaded where that SAM is not


def test_a_neck_for_another_embedding_is_refused(make_task: Make, tmp_path: Path) -> None:
    save_sam(Sam(replace(TINY, embedding=2 * TINY.embedding)), tmp_path / "other")
    with pytest.raises(SettingsError, match="neck_init"):
        E2Sam(make_task(3), E2SamConfig(neck_init=str(tmp_path / "other")))
