"""What E2SAM is compared with: which weights are SAM's and which are new, which bands are seen, one budget for all."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sensam.errors import MissingExtraError, SettingsError
from sensam.infer.promptable import Predictor
from sensam.methods import find_method
from sensam.methods.base import Method, Task
from sensam.nn.surgery import choose
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch
from tests.methods.conftest import learn

Make = Callable[..., Any]
NAMES = ("scratch", "sam3", "resam", "repe", pytest.param("unet", marks=pytest.mark.slow))  # which is no tiny network


def build(name: str, task: Task, **settings: Any) -> Method:
    method = find_method(name)
    return method(task, method.Config.model_validate(settings))


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("name", NAMES)
def test_each_maps_any_number_of_bands_at_full_size(make_task: Make, name: str, bands: int) -> None:
    method = build(name, make_task(bands)).eval()
    assert method(torch.randn(1, bands, 32, 19)).shape == (1, 3, 32, 19)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_learns_everything_by_one_budget_and_leaves_sam_alone(
    make_task: Make, make_batch: Callable[..., Batch], name: str
) -> None:
    task = make_task()
    before = {key: weight.clone() for key, weight in task.sam.state_dict().items()}
    method = build(name, task)
    (stage,) = method.stages
    assert stage.name == "finetune"
    assert stage.settings == build("scratch", task).stages[0].settings
    weights = {key: weight.clone() for key, weight in method.named_parameters()}
    log = learn(method, stage, [make_batch()] * 3)
    assert log[-1]["loss"] < log[0]["loss"]
    moved = {key for key, weight in method.named_parameters() if not torch.equal(weight, weights[key])}
    assert len(moved) > 0.9 * len(weights)
    assert all(torch.equal(weight, before[key]) for key, weight in task.sam.state_dict().items())


def test_which_weights_are_sams(make_task: Make) -> None:
    task = make_task(5)
    theirs = task.sam.vision_encoder.state_dict()

    def shared(name: str) -> set[str]:
        own = build(name, task).get_submodule("net.encoder").state_dict()
        assert own.keys() == theirs.keys()
        return {key for key, weight in own.items() if torch.equal(weight, theirs[key])}

    assert shared("sam3") == shared("resam") == set(theirs)
    assert set(theirs) - shared("repe") == {f"patch_embed.projection.{part}" for part in ("weight", "bias")}
    assert not shared("scratch")
    assert shared("e2sam") == {key for key in theirs if key.startswith("neck.")}


def test_all_but_the_unet_end_in_the_same_decoder(make_task: Make) -> None:
    shapes = []
    for name in ("scratch", "sam3", "resam", "repe", "e2sam"):
        decoder = build(name, make_task()).get_submodule("net.decoder")
        shapes.append({key: weight.shape for key, weight in decoder.named_parameters()})
    assert all(each == shapes[0] for each in shapes)


@pytest.mark.parametrize("name", ["scratch", "sam3", "resam", "repe", "e2sam"])
def test_with_detail_the_decoder_reads_pixels_too(make_task: Make, name: str) -> None:
    """One pixel changes what is said of it when the embedding cannot tell; it learns at the decoder's rate."""
    method = build(name, make_task(5), detail=True).eval()
    method.net.encoder.forward = lambda image: torch.zeros(len(image), method.net.encoder.anatomy.embedding, 4, 4)
    image = torch.randn(1, 5, 32, 32)
    other = image.clone()
    other[..., 9, 9] += 3
    assert not torch.equal(method(image)[..., 9, 9], method(other)[..., 9, 9])
    (*_, stage) = method.stages
    factors = choose([each for each, _ in method.named_parameters()], stage.learns)
    assert {factor for each, factor in factors.items() if ".detail." in each} == {1.0}


def test_the_unet_has_no_such_option(make_task: Make) -> None:
    with pytest.raises(ValueError, match="detail"):
        build("unet", make_task(), detail=True)


def test_sam3_sees_its_triple_alone_and_in_its_order(make_task: Make) -> None:
    task = make_task(5)
    method = build("sam3", task, triple=("b4", "b0", "b2")).eval()
    image = torch.randn(1, 5, 32, 32)
    changed = image.clone()
    changed[:, [1, 3]] += 1
    torch.testing.assert_close(method(image), method(changed))
    torch.testing.assert_close(method(image), method.net(image[:, [4, 0, 2]]))
    assert build("sam3", replace(task, sensor=looking_like_photographs())).triple == (2, 1, 0)
    with pytest.raises(SettingsError, match="b9"):
        build("sam3", task, triple=("b9", "b0", "b2"))


def looking_like_photographs() -> Sensor:
    bands = [{"name": name, "mean": 0.0, "std": 1.0} for name in ("blue", "green", "red", "nir", "swir")]
    return Sensor.from_dict({"name": "eye", "bands": bands, "rgb": ["red", "green", "blue"]})


def test_the_mixture_of_resam_is_a_point_convolution_with_a_bias(make_task: Make) -> None:
    method = build("resam", make_task(7))
    assert method.mix.weight.shape == (3, 7, 1, 1)
    assert method.mix.bias is not None
    assert isinstance(method.mix, nn.Conv2d)


def test_without_its_package_the_unet_says_what_to_install(make_task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"sensam\[baselines\]"):
        build("unet", make_task())


def test_an_unknown_encoder_of_the_unet_is_refused(make_task: Make) -> None:
    with pytest.raises(SettingsError, match="resnet34"):
        build("unet", make_task(), encoder="resnet35")


def test_zero_shot_is_sam_on_three_bands_and_answers_clicks_only(make_task: Make) -> None:
    task = make_task(5)
    method = build("zeroshot", task, triple=("b3", "b1", "b0"))
    image = torch.randn(5, 32, 32)
    ours, sam = Predictor(method.promptable()), Predictor(task.sam)
    ours.set_image(image)
    sam.set_image(image[[3, 1, 0]])
    found, expected = (each.predict(points=(9, 20)) for each in (ours, sam))
    torch.testing.assert_close(found.low_res_logits_NMhw, expected.low_res_logits_NMhw)
    assert method.stages == ()
    with pytest.raises(SettingsError, match="Predictor"):
        method(image[None])


@pytest.mark.parametrize("name", ["sam3", "resam", "zeroshot"])
def test_a_sam_of_other_than_three_bands_is_refused_by_what_shows_it_three(make_task: Make, name: str) -> None:
    task = make_task(5)
    student = Sam(replace(task.sam.anatomy, bands=5))
    with pytest.raises(SettingsError, match=f"{name} shows three bands to SAM; this SAM takes 5.*nano"):
        build(name, replace(task, sam=student))


def test_weights_of_classes_that_are_not_there_do_not_stop_what_needs_none(make_task: Make) -> None:
    inherit, _ = build("e2sam", make_task(classes=0), class_weights=(1, 2)).stages
    assert not inherit.needs_labels


def test_bands_that_may_go_missing_do_so_in_training_alone(make_task: Make, make_batch: Make) -> None:
    method, batch = build("scratch", make_task(6), band_dropout=0.5), make_batch(6, count=8)
    seen: list[Tensor] = []
    method.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    learn(method, method.stages[0], [batch])
    method.eval()
    method(batch.image_BCHW)
    missing = [(~image.flatten(2).any(2)).float().mean().item() for image in seen]
    assert 0.2 < missing[0] < 0.8
    assert missing[1] == 0
