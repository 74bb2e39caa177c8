"""Training from scratch: C bands in, logits at full size out, everything learns and the encoder at half the rate."""

from collections.abc import Callable

import pytest
import torch

from sensam.errors import SettingsError
from sensam.methods import find_method
from sensam.methods.base import Task
from sensam.methods.scratch import Scratch
from sensam.methods.segmenting import SegmentingConfig
from sensam.nn.surgery import freeze_all_but
from sensam.types import Batch
from tests.methods.conftest import learn


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_logits_have_the_size_of_the_image(make_task: Callable[..., Task], bands: int) -> None:
    method = Scratch(make_task(bands), SegmentingConfig()).eval()
    assert method(torch.randn(2, bands, 32, 19)).shape == (2, 3, 32, 19)


@pytest.mark.slow
def test_it_learns_and_the_sam_it_started_from_does_not(
    make_task: Callable[..., Task], make_batch: Callable[..., Batch]
) -> None:
    task = make_task()
    before = {name: weight.clone() for name, weight in task.sam.state_dict().items()}
    method = Scratch(task, SegmentingConfig())
    log = learn(method, method.stages[0], [make_batch()] * 12, rate=3e-3)
    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    for name, weight in task.sam.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_everything_moves_the_encoder_at_half_the_rate_of_neck_and_decoder(make_task: Callable[..., Task]) -> None:
    method = Scratch(make_task(), SegmentingConfig())
    moving = freeze_all_but(method, method.stages[0].learns)
    assert set(moving) == {name for name, _ in method.named_parameters()}
    slow = {name for name, factor in moving.items() if factor == 0.5}
    assert slow == {name for name in moving if name.startswith("net.encoder.") and ".neck." not in name}


def test_position_tables_start_at_zero_and_nothing_is_sams(make_task: Callable[..., Task]) -> None:
    task = make_task(3)
    encoder = Scratch(task, SegmentingConfig()).net.encoder.state_dict()
    theirs = task.sam.vision_encoder.state_dict()
    for name, weight in encoder.items():
        assert not torch.equal(weight, theirs[name])
        if "pos" in name:
            assert not weight.any()


def test_class_weights_must_fit_the_classes(make_task: Callable[..., Task]) -> None:
    with pytest.raises(SettingsError, match="2 numbers, there are 3 classes"):
        _ = Scratch(make_task(), SegmentingConfig(class_weights=(1.0, 2.0))).stages


def test_labels_are_needed(make_task: Callable[..., Task], make_batch: Callable[..., Batch]) -> None:
    method, batch = Scratch(make_task(), SegmentingConfig()), make_batch()
    bare = Batch(batch.image_BCHW, batch.valid_BHW, None, batch.keys)
    with pytest.raises(SettingsError, match="labels"):
        learn(method, method.stages[0], [bare])


def test_it_is_found_by_name() -> None:
    assert find_method("scratch") is Scratch
