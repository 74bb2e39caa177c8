"""Finding and reading files: what is damaged, missing, foreign or far away ends in one clear line."""

import contextlib
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from sensam.errors import WeightsError
from sensam.sam import checkpoint
from sensam.sam.checkpoint import find_checkpoint, identify
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam

MakeSam = Callable[..., Sam]
TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(300)}


def refuse(source: str | Path, *words: str) -> None:
    """Reading fails with one line that says all this."""
    with pytest.raises(WeightsError) as caught:
        find_checkpoint(source)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.safetensors"])
def test_one_file(tmp_path: Path, name: str) -> None:
    save = save_file if name.endswith("safetensors") else torch.save
    save({key: value.half() for key, value in TENSORS.items()}, tmp_path / name)
    found = find_checkpoint(tmp_path / name)
    assert found.precision == "float16"
    assert found.config is None
    assert found.tensors.keys() == TENSORS.keys()
    for key, value in TENSORS.items():
        assert found.tensors[key].dtype == torch.float32
        assert torch.equal(found.tensors[key], value)


def test_a_state_dict_as_torch_makes_it(tmp_path: Path) -> None:
    """An OrderedDict with metadata, parameters, and a tensor that is a view."""
    layer = torch.nn.Linear(2, 2)
    state = OrderedDict(layer.state_dict(keep_vars=True), view=torch.arange(6.0).view(2, 3).t())
    torch.save(state, tmp_path / "w.pth")
    found = find_checkpoint(tmp_path / "w.pth").tensors
    assert not any(tensor.requires_grad for tensor in found.values())
    assert torch.equal(found["view"], state["view"])


class Harm:
    """A pickle that would create a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_no_code_is_unpickled(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1), "b": Harm(tmp_path / "harmed")}, tmp_path / "w.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harm(tmp_path / "harmed")))
    for name in ("w.pth", "plain.pth"):
        refuse(tmp_path / name, name, "never unpickles", "state_dict()")
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": TENSORS, "epoch": 3}, "a dict of model, epoch"),
        ({}, "a dict of no entries"),
        ([torch.ones(1)], "a list"),
        (torch.ones(3), "a Tensor"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, content: object, words: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    refuse(tmp_path / "w.pth", words, "state_dict()")


@pytest.mark.parametrize("strange", [torch.arange(3), torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")])])
def test_numbers_that_are_no_weights(tmp_path: Path, strange: torch.Tensor) -> None:
    torch.save({"a": torch.ones(2), "strange": strange}, tmp_path / "w.pth")
    refuse(tmp_path / "w.pth", "holds strange, which is no tensor of finite floating-point numbers")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file(tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Cut off anywhere: refused in one line. Overwritten anywhere: the same, or other numbers; never another error."""
    save = save_file if name.endswith("safetensors") else torch.save
    save(TENSORS, tmp_path / name)
    whole = bytearray((tmp_path / name).read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        (tmp_path / name).write_bytes(whole[:place])
        refuse(tmp_path / name, name, "etch it again")
    else:
        whole[place : place + 4] = data.draw(st.binary(min_size=4, max_size=4))
        (tmp_path / name).write_bytes(whole)
        with contextlib.suppress(WeightsError):
            assert find_checkpoint(tmp_path / name).tensors


def test_what_git_lfs_leaves_behind(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "config.json").write_text("{}")
    refuse(tmp_path, "git-lfs", "fetch it again")


def test_folders_that_lack_something(tmp_path: Path) -> None:
    refuse(tmp_path, "holds no weights", "model.safetensors or pytorch_model.bin was needed")
    save_file(TENSORS, tmp_path / "model.safetensors")
    refuse(tmp_path, "no config.json")
    (tmp_path / "config.json").write_text("{")
    refuse(tmp_path, "config.json cannot be read as JSON")
    (tmp_path / "config.json").write_text("[]")
    refuse(tmp_path, "a table of settings was needed")
    (tmp_path / "config.json").write_text("{}")
    assert find_checkpoint(tmp_path).config == {}


def test_an_index_of_parts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": ["a"]}))
    refuse(tmp_path, "no index of weights")
    index.write_text(json.dumps({"weight_map": {"a.weight": "1.safetensors", "b.bias": "2.safetensors"}}))
    save_file({"a.weight": TENSORS["a.weight"]}, tmp_path / "1.safetensors")
    refuse(tmp_path, "2.safetensors", "may be missing")
    save_file({"b.bias": TENSORS["b.bias"]}, tmp_path / "2.safetensors")
    assert identify(find_checkpoint(tmp_path).tensors) == identify(TENSORS)
    save_file(TENSORS, tmp_path / "2.safetensors")
    refuse(tmp_path, "holds a.weight in 2.safetensors and again in another part")


@pytest.mark.parametrize("source", ["vit_b", "sam_vit_b_01ec64.pth", "weights/sam_vit_b_01ec64.pth", "a/b/c", ""])
def test_sources_that_are_nothing(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").touch()
    refuse(source, f"no file or folder {source!r}", "nano, b, l or h", "facebook/sam-vit-base")


def test_the_identity_sees_names_shapes_and_numbers() -> None:
    same = {name: TENSORS[name].clone() for name in reversed(TENSORS)}
    assert identify(same) == identify(TENSORS)
    for changed in (
        {**TENSORS, "b.bias": TENSORS["b.bias"].clone().index_fill(0, torch.tensor(7), 1.0001)},
        {**TENSORS, "a.weight": TENSORS["a.weight"].view(3, 2)},
        {"a.weight": TENSORS["a.weight"], "b.weight": TENSORS["b.bias"]},
        {"a.weight": TENSORS["a.weight"]},
    ):
        assert identify(changed) != identify(TENSORS)


def test_a_broken_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoint, "NANO", tmp_path / "nano.safetensors")
    refuse("nano", "built-in teacher", "Reinstall")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub out of reach, and an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def cache(hub: Path, hub_id: str) -> Path:
    """The folder in which the hub's client keeps one revision of a model."""
    home = hub / f"models--{hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    folder = home / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    return folder


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("source", ["facebook/sam-vit-base", "b"])
def test_offline_and_not_in_the_cache(source: str) -> None:
    refuse(source, "facebook/sam-vit-base is not in the cache", "hf download facebook/sam-vit-base", "nano")


def test_offline_and_in_the_cache(hub: Path, make_sam: MakeSam) -> None:
    sam = make_sam()
    save_sam(sam, cache(hub, "someone/small-sam"))
    loaded = load_sam("someone/small-sam")
    assert loaded.loaded is not None
    assert loaded.loaded.source == "someone/small-sam"
    assert torch.equal(loaded.vision_encoder.pos_embed, sam.vision_encoder.pos_embed)


def test_the_cache_holds_only_the_older_format(hub: Path, make_sam: MakeSam) -> None:
    sam, folder = make_sam(), cache(hub, "someone/old-sam")
    save_sam(sam, folder)
    (folder / "model.safetensors").unlink()
    torch.save(sam.state_dict(), folder / "pytorch_model.bin")
    assert torch.equal(load_sam("someone/old-sam").vision_encoder.pos_embed, sam.vision_encoder.pos_embed)


def test_the_cache_holds_no_weights(hub: Path) -> None:
    (cache(hub, "someone/nothing") / "config.json").write_text("{}")
    refuse("someone/nothing", "holds no weights")


@pytest.mark.usefixtures("hub")
def test_names_that_are_no_hub_ids() -> None:
    refuse("some--one/..", "no model")
