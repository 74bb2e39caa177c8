"""A model folder holds what was trained and what it sits on; anything that does not fit is refused by name."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import sensam
from sensam.data.dataset import open_dataset
from sensam.errors import InputError, SensamError, SettingsError, WeightsError
from sensam.run import Model, load, train
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import save_sam
from sensam.train.trackers import TensorBoardTracker
from tests.run.stopping import stopped_at

TINY = "tests.train.tiny:Tiny"
QUICK = {"size": 32, "batch": 2, "workers": 0, "epochs": 1, "validations": 1, "track": (), "quiet": True}
SMALL = Anatomy("small", 16, 2, 2, (1,), 3, patch=8, image_size=32, embedding=16, decoder_heads=2, decoder_mlp=24)


@pytest.fixture(scope="module")
def trained(fog: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, train(fog, method=TINY, out=out, **QUICK)


@pytest.fixture
def changed(trained: tuple[Path, Model], tmp_path: Path) -> Callable[..., Path]:
    """The same model with something else in its config or among its weights."""

    def change(config: dict[str, Any] | None = None, weights: dict[str, torch.Tensor | None] | None = None) -> Path:
        folder = trained[0] / "model"
        values = json.loads((folder / "config.json").read_text()) | (config or {})
        tensors = load_file(folder / "model.safetensors") | (weights or {})
        (tmp_path / "config.json").write_text(json.dumps(values))
        kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        save_file(kept, tmp_path / "model.safetensors")
        return tmp_path

    return change


def test_the_run_folder_holds_what_is_promised(trained: tuple[Path, Model]) -> None:
    out, _ = trained
    assert {path.name for path in out.iterdir()} == {"run.yaml", "log.csv", "checkpoints", "metrics.json", "model"}
    weights = load_file(out / "model" / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"body", "head"}  # no teacher, no branches
    assert "body.1.running_mean" in weights
    config = json.loads((out / "model" / "config.json").read_text())
    assert config["base"]["source"] == "nano"
    assert config["stages"] == ["inherit", "finetune"]
    assert config["size"] == 32
    assert all(band["mean"] is not None for band in config["sensor"]["bands"])


def test_others_may_read_a_model_as_any_file(trained: tuple[Path, Model], tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    files = [tmp_path / "ordinary", *(trained[0] / "model").iterdir(), *(trained[0] / "checkpoints").iterdir()]
    assert len({path.stat().st_mode for path in files}) == 1


def test_loaded_it_maps_an_image_as_before(fog: Path, trained: tuple[Path, Model]) -> None:
    out, model = trained
    again, image = sensam.load(out), next((fog / "images" / "test").glob("*.tif"))
    np.testing.assert_array_equal(again.predict(image), model.predict(image))
    assert again.classes == model.classes == open_dataset(fog).classes
    assert again.segmenter.colours == model.segmenter.colours
    assert not any(parameter.requires_grad for parameter in again.method.parameters())


def test_pixels_without_data_are_no_class(fog: Path, trained: tuple[Path, Model]) -> None:
    dataset = open_dataset(fog)
    raster = dataset.sensor.decode(dataset.read(dataset.items("test")[0]))
    valid_CHW = raster.valid_CHW.copy()
    valid_CHW[3, :5] = False
    found = trained[1].predict(raster.with_pixels(raster.pixels_CHW, valid_CHW, is_decoded=True))
    assert (found[:5] == 255).all()
    assert (found[5:] != 255).all()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"head.bias": None}, r"1 missing \(head.bias\)"),
        ({"extra": torch.zeros(2)}, r"1 not expected \(extra\)"),
        ({"head.bias": torch.zeros(9)}, "head.bias 9 instead of 5"),
    ],
)
def test_weights_that_do_not_fit_are_named(changed: Callable[..., Path], weights: dict[str, Any], told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        load(changed(weights=weights))


def test_another_base_is_refused_by_both_identities(
    trained: tuple[Path, Model], changed: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("sam")
    save_sam(Sam(SMALL), other)
    base = json.loads((trained[0] / "model" / "config.json").read_text())["base"]
    folder = changed({"base": base | {"is_needed": True}})
    with pytest.raises(WeightsError, match=f"nano.*{base['identity'][:12]}.*holds another"):
        load(folder, base=other)


def test_a_folder_without_a_model_or_of_another_format_is_refused(changed: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no model"):
        load(tmp_path / "nowhere")
    folder = changed()
    (folder / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(WeightsError, match="names no method"):
        load(folder)
    with pytest.raises(WeightsError, match="format 9"):
        load(changed({"format": 9}))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"sensor": None}, "sensor: Input should be a valid dict"),
        ({"base": None}, "base: Input should be"),
        ({"base": {"source": "nano", "identity": None, "is_needed": True}}, "base.anatomy is missing"),
        ({"classes": 5}, "classes: Input should be a valid list"),
        ({"classes": [1, 2]}, r"classes\.0: Input should be a valid string"),
    ],
)
def test_a_config_that_says_too_little_is_told_in_one_line(
    changed: Callable[..., Path], config: dict[str, Any], told: str
) -> None:
    with pytest.raises(SensamError, match=rf"config\.json: {told}") as caught:
        load(changed(config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sensor", "base", "classes"])
def test_a_config_that_lacks_a_part_is_told_which(changed: Callable[..., Path], name: str) -> None:
    folder = changed()
    values = json.loads((folder / "config.json").read_text())
    del values[name]
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(SensamError, match=rf"config\.json: {name} is missing"):
        load(folder)


def test_an_image_of_other_bands_is_refused_by_names(fog: Path, trained: tuple[Path, Model]) -> None:
    dataset = open_dataset(fog)
    raster = dataset.read(dataset.items("test")[0])
    with pytest.raises(InputError, match="has bands"):
        trained[1].predict(raster.renamed([f"other {name}" for name in raster.bands]))


@pytest.mark.slow
def test_fine_tuning_begins_from_an_inherited_model(fog: Path, tmp_path: Path) -> None:
    first = train(fog, method=TINY, out=tmp_path / "first", stop_after="inherit", **QUICK)
    kept = load_file(tmp_path / "first" / "model" / "model.safetensors")
    assert {name.split(".")[0] for name in kept} == {"body", "branches"}  # parts that may still be of use stay
    assert first.config["stages"] == ["inherit"]
    second = train(
        fog,
        method=TINY,
        out=tmp_path / "second",
        begin_from=tmp_path / "first",
        **{**QUICK, "rate": 1e-30, "least_rate": 0},
    )
    assert second.config["stages"] == ["inherit", "finetune"]
    weights = second.method.state_dict()
    assert torch.equal(weights["body.0.weight"], kept["body.0.weight"])
    assert not any(name.startswith("branches") for name in weights)
    with pytest.raises(SettingsError, match="nothing to train"):
        train(fog, method=TINY, out=tmp_path / "third", begin_from=tmp_path / "second", **QUICK)


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(fog: Path, trained: tuple[Path, Model]) -> None:
    out, _ = trained
    with pytest.raises(InputError, match="--resume"):
        train(fog, method=TINY, out=out, **QUICK)
    with pytest.raises(SettingsError, match=r"batch = 2, now it is 4"):
        train(fog, method=TINY, out=out, resume=True, **{**QUICK, "batch": 4})


def test_trackers_are_closed_where_training_stops(fog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(TensorBoardTracker, "close", lambda _, *, finished: closed.append(finished))
    with stopped_at(monkeypatch, 1):
        train(fog, method=TINY, out=tmp_path / "run", **{**QUICK, "track": ("tensorboard",)})
    assert closed == [False]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "tests.train.tiny:Tniy"}, "cannot be imported"),
        ({"settings": {"widht": 3}}, "'widht'.*'width'"),
        ({"stop_after": "inhreit"}, "'inhreit'.*'inherit'"),
        ({"augment": {"flip": True}}, "'flip'"),
        ({"split": "trian"}, "'trian'.*'train'"),
        ({"rte": 1.0}, "'rte'.*'rate'"),
    ],
)
def test_mistakes_are_told_in_one_line(fog: Path, tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SensamError, match=told) as caught:
        train(fog, out=tmp_path / "run", **{"method": TINY, **QUICK, **settings})
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_training_in_half_precision_ends_in_numbers(fog: Path, tmp_path: Path) -> None:
    model = train(fog, method=TINY, out=tmp_path / "run", machine={"precision": "bf16"}, **QUICK)
    assert all(weight.dtype == torch.float32 for weight in model.method.parameters())
    assert all(weight.isfinite().all() for weight in model.method.state_dict().values())


@pytest.mark.slow
def test_labels_that_are_not_there_are_missed_before_anything_is_learnt(fog: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((fog / "dataset.yaml").read_text()) | {"root": str(fog)}
    del values["masks"], values["classes"]
    bare = tmp_path / "bare.yaml"
    bare.write_text(yaml.safe_dump(values))
    with pytest.raises(SettingsError, match=r"Stage finetune learns from labels.*stop_after"):
        train(bare, method="scratch", out=tmp_path / "run", **QUICK)
    assert train(bare, method=TINY, out=tmp_path / "run", stop_after="inherit", **QUICK).classes == ()


def test_functions_stay_functions_beside_folders_of_their_names(trained: tuple[Path, Model]) -> None:
    assert trained
    for function, first in ((sensam.train, "data"), (sensam.evaluate, "model"), (sensam.load, "source")):
        assert callable(function)
        assert next(iter(inspect.signature(function).parameters)) == first
