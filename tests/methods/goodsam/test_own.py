"""A trained model as the assistant: rebuilt as strictly as anywhere else, or refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from sensam.errors import WeightsError
from sensam.methods.base import Task
from sensam.methods.goodsam.assistant import find_assistant
from sensam.methods.goodsam.own import OwnModel
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.nn.segformer import SegFormer, build_segformer
from sensam.run.model import describe_model, save_model
from sensam.sam.weights import load_sam
from tests.train.tiny import Tiny, TinyConfig

CLASSES = ("road", "sky")


@pytest.fixture
def task(make_task: Callable[..., Task], tiny_sam: Path) -> Task:
    return replace(make_task(bands=3, classes=CLASSES), sam=load_sam(tiny_sam))


@pytest.fixture
def folder(task: Task, tmp_path: Path) -> Path:
    """The model folder of one that was only fine-tuned."""
    method = Tiny(task, TinyConfig())
    trained = frozenset(name for name, _ in method.named_parameters() if name.startswith(("body.", "head.")))
    config = describe_model(method, "tests.train.tiny:Tiny", colours=(), stages=("finetune",))
    save_model(tmp_path / "run" / "model", method, trained, config, {})
    return tmp_path / "run" / "model"


def find(task: Task, folder: Path) -> OwnModel | SegFormer:
    net = find_assistant(task, GoodSamConfig(assistant=str(folder))).net
    assert isinstance(net, OwnModel | SegFormer)
    return net


def test_the_folder_of_the_run_will_do(task: Task, folder: Path) -> None:
    assert isinstance(find(task, folder), OwnModel)
    assert isinstance(find(task, folder.parent), OwnModel)


def test_weights_that_are_missing_or_too_many_are_named(task: Task, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["head.bias"]
    save_file({**weights, "foot.bias": weights["body.1.bias"] + 1}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 missing \(head\.bias\); 1 not expected \(foot\.bias\)"):
        find(task, folder)


def test_another_base_than_the_one_learnt_on_is_refused(task: Task, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["base"] |= {"is_needed": True, "identity": "0" * 64}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="holds another"):
        find(task, folder)


@pytest.mark.slow
def test_a_model_of_others_that_speaks_of_a_method_is_not_ours(task: Task, tmp_path: Path) -> None:
    theirs = build_segformer("b0", bands=3, classes=2, head=8)
    theirs.net.config.quantization = {"method": "none"}
    theirs.net.config.id2label = dict(enumerate(CLASSES))
    theirs.net.save_pretrained(tmp_path)
    assert '"method"' in (tmp_path / "config.json").read_text()
    assert isinstance(find(task, tmp_path), SegFormer)
