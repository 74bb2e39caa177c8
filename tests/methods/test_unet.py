"""What the U-Net begins from: weights of the hub, which a finished model does without, or one line that says why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from sensam.errors import SettingsError
from sensam.methods import find_method
from sensam.methods.base import Method
from sensam.methods.rebuilding import build_method, trained_by
from sensam.run import load, save_model
from sensam.run.model import describe_model

Make = Callable[..., Any]
HUB = "segmentation_models_pytorch.encoders.hf_hub_download"


@pytest.fixture
def fetch(make_task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Method]:
    """Builds a U-Net while the hub can be reached, which has one encoder; afterwards it cannot."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    published = smp.encoders.get_encoder("resnet18").state_dict()
    save_file({name: weight.contiguous() for name, weight in published.items()}, tmp_path / "published.safetensors")

    def build(**settings: Any) -> Method:
        monkeypatch.setattr(HUB, lambda *_, **__: str(tmp_path / "published.safetensors"))
        method = build_method("unet", make_task(3), {"encoder": "resnet18", "encoder_weights": "imagenet", **settings})
        monkeypatch.setattr(HUB, unreachable)
        assert torch.equal(method.get_submodule("net.encoder").conv1.weight, published["conv1.weight"])
        return method

    return build


def unreachable(*_: object, **__: object) -> str:
    raise LocalEntryNotFoundError("We cannot find the requested files in the cache.\nPlease check your connection.")


@pytest.mark.slow  # it is no tiny network
def test_a_finished_model_needs_no_hub(fetch: Callable[..., Method], tmp_path: Path) -> None:
    method = fetch().eval()
    config = describe_model(method, "unet", colours=((0, 0, 0),) * 3, stages=("finetune",))
    save_model(tmp_path / "model", method, trained_by(method, ("finetune",)), config, {})
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(load(tmp_path / "model").method(image), method(image))


@pytest.mark.slow
def test_an_encoder_that_never_learnt_is_fetched_again(fetch: Callable[..., Method]) -> None:
    """It is no part of what is saved, and a random one would take its place unnoticed."""
    assert fetch(encoder_rate=0.0).config_at_rest().encoder_weights == "imagenet"


@pytest.mark.slow
def test_weights_that_cannot_be_fetched_are_one_line(make_task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    monkeypatch.setattr(HUB, unreachable)
    with pytest.raises(SettingsError, match=r"resnet34 .* imagenet \(We cannot find .*cache\)\. .*network") as caught:
        build(make_task(), "imagenet")
    assert "\n" not in str(caught.value)


def test_weights_that_an_encoder_does_not_have_are_refused(make_task: Make) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    with pytest.raises(SettingsError, match=r"resnet34 has no weights named 'foo'\. Take one of imagenet, or leave"):
        build(make_task(), "foo")


def build(task: Any, weights: str) -> Method:
    method = find_method("unet")
    return method(task, method.Config(encoder_weights=weights))
