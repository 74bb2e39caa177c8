"""Weights go into a method only where all of them fit."""

import pytest
import torch

from sensam.errors import WeightsError
from sensam.methods.rebuilding import put, trained_by
from sensam.nn.surgery import holdings
from tests.train.tiny import Tiny, TinyConfig, tiny_task


def test_a_checkpoint_of_another_shape_is_refused_by_name_and_nothing_changes() -> None:
    method = Tiny(tiny_task(), TinyConfig())
    trained = trained_by(method, ("finetune",))
    before = {name: value.clone() for name, value in method.state_dict().items()}
    # One number for all classes would spread over their biases without a word.
    weights = {name: value.detach() + 1 for name, value in holdings(method, trained).items()}
    weights["head.bias"] = torch.ones(1)
    with pytest.raises(WeightsError, match=r"checkpoints does not fit .*head\.bias 1 instead of 3"):
        put(method, weights, trained, "checkpoints")
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
