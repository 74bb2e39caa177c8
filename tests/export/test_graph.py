"""Exports compute what the model computes, say what they are, and are thrown away where they do not."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sensam.errors import SettingsError, WeightsError
from sensam.export.graph import ToleranceError, compare, refuse_beyond, sample_tiles
from sensam.export.hub import card, export_hub
from sensam.export.onnx import export_onnx
from sensam.export.program import export_program, read_program
from sensam.export.stac import model_item
from sensam.infer.onnx_network import load_onnx
from sensam.maps import load_segmenter, predict
from sensam.sensors import Sensor
from tests.infer.mapmaking import BANDS, CLASSES, ground, network, read, segmenter, write_scene

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.slow  # making the exports takes seconds

PACKED = Sensor.from_dict(
    {
        "name": "packed",
        "bands": [
            {"name": "B02", "scale": 0.0001, "offset": -0.1, "mean": 0.12, "std": 0.05, "unit": "1"},
            {"name": "B03", "mean": 500, "std": 250},
            {"name": "B04", "scale": 0.01, "mean": 288, "std": 10, "unit": "K"},
        ],
    }
)


class Branching(nn.Module):
    """Another computation for every size, as windows make it: no single graph can be all of them."""

    def forward(self, image):
        if image.shape[-1] > 40:
            image = image * 2
        return torch.cat([image, image[:, :1]], 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One export for all tests that only look."""
    model = segmenter(network(3), resolution=10.0, name="toy")
    path = export_onnx(model, tmp_path_factory.mktemp("export") / "toy.onnx", side=32)
    return model, path


def test_an_onnx_file_computes_the_same_for_any_batch(made):
    model, path = made
    exported = load_onnx(path)
    for batch in (1, 3):
        image = torch.randn(batch, 3, 32, 32)
        its = exported.logits(image).softmax(1)
        assert (its - model.logits(image).softmax(1)).abs().max() < 1e-5
    tiles, are_real = sample_tiles(model, [], 32)
    difference = compare(model, exported, tiles, are_real=are_real)
    assert difference.largest < 1e-5
    assert difference.agreement > 0.999
    assert "random tiles" in str(difference)


def test_the_file_says_what_it_is(made):
    model, path = made
    exported = load_onnx(path)
    assert (exported.classes, exported.colours, exported.sensor) == (model.classes, model.colours, model.sensor)
    assert (exported.size, exported.resolution, exported.name) == (32, 10.0, "toy")
    assert exported.fingerprint != model.fingerprint
    assert load_onnx(path).fingerprint == exported.fingerprint


def test_deepness_finds_its_keys_and_the_scaling_is_in_the_graph(made):
    import onnxruntime

    model, path = made
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(facts["model_type"]) == "Segmentor"
    assert json.loads(facts["class_names"]) == {str(number): name for number, name in enumerate(CLASSES)}
    assert json.loads(facts["resolution"]) == 1000  # centimetres
    assert json.loads(facts["tiles_size"]) == 32
    # It divides what it reads by 255, subtracts 0 and divides by 1.
    assert json.loads(facts["standardization_mean"]) == [0, 0, 0]
    stored = ground(32, 32)
    session = onnxruntime.InferenceSession(str(path))
    (found,) = session.run(None, {session.get_inputs()[0].name: (stored / 255)[None].astype(np.float32)})
    image = (torch.from_numpy(stored.astype(np.float32)) - 500) / 250
    assert np.abs(found - model.logits(image[None]).softmax(1).detach().numpy()).max() < 1e-5
    assert np.allclose(found.sum(1), 1, atol=1e-5)


def test_packed_bands_keep_their_meaning(tmp_path):
    model = segmenter(network(3), sensor=PACKED)
    exported = load_onnx(export_onnx(model, tmp_path / "packed.onnx", side=16))
    image = torch.randn(2, 3, 16, 16)
    assert (exported.logits(image).softmax(1) - model.logits(image).softmax(1)).abs().max() < 1e-3


def test_any_size_where_the_network_can(tmp_path):
    model = segmenter(network(5))
    exported = load_onnx(export_onnx(model, tmp_path / "any.onnx", side=32, any_size=True))
    for shape in ((1, 3, 48, 40), (2, 3, 17, 64)):
        image = torch.randn(shape)
        assert (exported.logits(image).softmax(1) - model.logits(image).softmax(1)).abs().max() < 1e-5
    with pytest.raises(SettingsError, match="Leave --any-size out"):
        export_onnx(segmenter(Branching()), tmp_path / "branching.onnx", side=32, any_size=True)


def test_eight_bits_cost_little_and_it_is_printed(tmp_path):
    torch.manual_seed(0)
    mixing = nn.Sequential(_Last(), nn.Linear(3, 64), nn.GELU(), nn.Linear(64, 4), _First()).eval()
    model = segmenter(mixing)
    exported = load_onnx(export_onnx(model, tmp_path / "int8.onnx", side=32, int8=True))
    tiles, are_real = sample_tiles(model, [], 32)
    difference = compare(model, exported, tiles, are_real=are_real)
    assert 1e-5 < difference.largest < 0.1
    assert difference.agreement > 0.95
    stored = {one.data_type for one in onnx.load(tmp_path / "int8.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in stored


class _Last(nn.Module):
    def forward(self, image):
        return image.permute(0, 2, 3, 1)


class _First(nn.Module):
    def forward(self, image):
        return image.permute(0, 3, 1, 2)


def test_what_differs_is_refused(made):
    model, path = made
    tiles, are_real = sample_tiles(model, [], 32)
    difference = compare(segmenter(network(3, seed=5)), load_onnx(path), tiles, are_real=are_real)
    with pytest.raises(ToleranceError, match="thrown away"):
        refuse_beyond(difference, 1e-3, path)


def test_comparing_on_real_tiles(made, tmp_path):
    model, path = made
    scene = write_scene(tmp_path / "scene.tif", ground(80, 50))
    tiles, are_real = sample_tiles(model, [str(scene)], 32)
    assert (len(tiles), are_real) == (4, True)
    assert "tiles of your scenes" in str(compare(model, load_onnx(path), tiles, are_real=are_real))


def test_torch_export_computes_the_same(tmp_path):
    model = segmenter(network(3))
    exported = read_program(export_program(model, tmp_path / "toy.pt2", side=32), model)
    for batch in (1, 3):
        image = torch.randn(batch, 3, 32, 32)
        assert (exported.logits(image).softmax(1) - model.logits(image).softmax(1)).abs().max() < 1e-5


def test_an_onnx_file_maps_scenes(made, tmp_path):
    model, path = made
    scene = write_scene(tmp_path / "scene.tif", ground(80, 70))
    (mine,) = predict(model, scene, tmp_path / "mine.tif")
    (its,) = predict(path, scene, tmp_path / "its.tif")
    assert (read(mine) == read(its)).mean() > 0.999
    with pytest.raises(SettingsError, match="exported for tiles of 32"):
        predict(path, scene, tmp_path / "other.tif", size=64)


def test_mapping_with_an_onnx_file_imports_nothing_that_trains(made, tmp_path):
    _, path = made
    scene = write_scene(tmp_path / "scene.tif", ground(40, 40))
    code = (
        "import sys; from sensam.cli.app import main\n"
        f"sys.argv = ['sensam', 'predict', {str(path)!r}, {str(scene)!r}, '-o', {str(tmp_path / 'out')!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "training = ('sensam.train', 'sensam.methods', 'sensam.run', 'sensam.sam', 'sensam.nn')\n"
        "print('transformers' in sys.modules, [m for m in sys.modules if m.startswith(training)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False []", done.stdout + done.stderr
    assert (tmp_path / "out" / "scene.tif").is_file()


def test_other_files_are_refused(made, tmp_path):
    _, path = made
    whole = onnx.load(path)
    stranger = onnx.ModelProto()
    stranger.CopyFrom(whole)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(WeightsError, match="not one of ours"):
        load_segmenter(tmp_path / "stranger.onnx")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:300])
    with pytest.raises(WeightsError, match="cannot be read as ONNX"):
        load_segmenter(tmp_path / "cut.onnx")
    for change in ({"classes": ["a", "b"], "colours": [[0, 0, 0]] * 2}, {"sensor": None}):
        swapped = onnx.ModelProto()
        swapped.CopyFrom(whole)
        for entry in swapped.metadata_props:
            if entry.key == "sensam":
                facts = json.loads(entry.value)
                if "sensor" in change:
                    facts["sensor"]["bands"] = facts["sensor"]["bands"][:2]
                else:
                    facts |= change
                entry.value = json.dumps(facts)
        onnx.save(swapped, tmp_path / "swapped.onnx")
        with pytest.raises(WeightsError, match="Export the model again"):
            load_segmenter(tmp_path / "swapped.onnx")


def test_a_stac_item_describes_the_model(made, tmp_path):
    model, _ = made
    item = model_item(model, {"model": tmp_path / "toy.onnx"}, side=32)
    facts = item["properties"]
    assert facts["mlm:tasks"] == ["semantic-segmentation"]
    assert facts["mlm:input"][0]["bands"] == list(BANDS)
    assert facts["mlm:input"][0]["value_scaling"][0] == {"type": "z-score", "mean": 500.0, "stddev": 250.0}
    assert facts["mlm:output"][0]["classification:classes"][3] == {
        "value": 3,
        "name": "town",
        "title": "town",
        "color_hint": "FF0000",
    }
    assert facts["mlm:total_parameters"] == 3 * 4 * 9 + 4
    assert item["assets"]["model"]["roles"] == ["mlm:model"]
    json.dumps(item)


def test_a_hub_folder_has_a_card_that_says_what_is_known(tmp_path):
    model = replace(segmenter(), name="e2sam")
    source = tmp_path / "model"
    source.mkdir()
    (source / "config.json").write_text('{"method": "e2sam"}')
    (source / "model.safetensors").write_bytes(b"weights")
    config = {"method": "e2sam", "results": {"miou": 0.5}, "base": {"source": "nano"}}
    made = export_hub(source, tmp_path / "hub", model, config)
    assert {path.name for path in made} == {"config.json", "model.safetensors", "README.md", "stac-item.json"}
    assert (tmp_path / "hub" / "model.safetensors").read_bytes() == b"weights"
    text = card(model, config)
    assert "library_name: sensam" in text
    assert "3. town" in text
    assert "miou: 0.5" in text
    assert "| B03 |" in text
    with pytest.raises(Exception, match="the model itself"):
        export_hub(source, source, model, config)
