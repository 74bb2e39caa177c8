"""One graph for images of every size, of networks whose own code asks for the size at every step."""

import numpy as np
import pytest
import torch
from torch import nn

from sensam.errors import SettingsError
from sensam.export.any_size import any_size, multiple
from sensam.export.onnx import export_onnx
from sensam.infer.onnx_network import load_onnx
from sensam.maps import predict
from sensam.methods.base import Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.methods.scratch import Scratch
from sensam.methods.segmenting import SegmentingConfig
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.nn.lowpass import FrequencyFilter
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from tests.infer.conftest import enliven
from tests.infer.mapmaking import CLASSES, ground, read, segmenter, sensor, write_scene

# Windows of 3 tokens: at most sizes some are cut by the edge. 8 tokens on a side are what its tables were made for.
TINY = Anatomy("tiny", 32, 3, 2, (1,), window=3, patch=8, image_size=64, embedding=32, decoder_heads=2, decoder_mlp=24)
SIZES = ((2, 64, 64), (1, 80, 40), (1, 24, 128), (3, 16, 32))

METHODS = {
    "scratch": lambda task: Scratch(task, SegmentingConfig()),
    "scratch-detail": lambda task: Scratch(task, SegmentingConfig(detail=True)),
    "cwsam": lambda task: Cwsam(task, CwsamConfig()),
    "cwsam-both": lambda task: Cwsam(task, CwsamConfig(frequencies="both", rate=0.0625, head="lite")),
    "cwsam-published": lambda task: Cwsam(task, CwsamConfig(protocol="paper")),
    "simmat": lambda task: SimMat(task, SimMatConfig(strategy="lora", head="classwise")),
    "simmat-prompt": lambda task: SimMat(task, SimMatConfig(strategy="prompt", head="classwise")),
    "simmat-prefix": lambda task: SimMat(task, SimMatConfig(strategy="prefix", head="classwise")),
}


def network(name: str) -> nn.Module:
    made = METHODS[name](Task(sensor(), CLASSES, Sam(TINY), size=64))
    enliven(made)
    return made.eval()


def apart(one: nn.Module, other: nn.Module, shape: tuple[int, int, int]) -> float:
    batch, rows, columns = shape
    image = torch.randn(batch, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine, its = (each(image).softmax(1) for each in (one, other))
    assert mine.shape == its.shape
    assert mine.std() > 0.01  # a constant would agree with anything
    return (mine - its).abs().max().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["scratch", "scratch-detail", "cwsam", "cwsam-both", "simmat", "simmat-prompt", "simmat-prefix"]
)
def test_the_rendering_computes_the_same_at_every_size(name):
    original = network(name)
    before = {key: value.clone() for key, value in original.state_dict().items()}
    rendered = any_size(original)
    assert multiple(original) == 8
    for shape in SIZES:
        assert apart(original, rendered, shape) < 1e-5
    assert all(torch.equal(value, before[key]) for key, value in original.state_dict().items())


@pytest.mark.parametrize(("rows", "columns"), [(9, 7), (16, 5), (33, 40)])
@pytest.mark.parametrize("rate", [0.0625, 0.25, 1.0])
def test_slow_frequencies_by_matrices_are_those_by_fourier_transform(rows, columns, rate):
    original = FrequencyFilter("both", rate)
    image = torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(any_size(original)(image), original(image), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scratch", "cwsam", "simmat-prompt"])
def test_a_graph_of_sams_windows_is_right_at_every_size(tmp_path, name):
    model = segmenter(network(name), size=60)
    path = export_onnx(model, tmp_path / "any.onnx", side=60, any_size=True)
    exported = load_onnx(path)
    assert exported.size == 64  # whole patches
    for shape in SIZES:
        assert apart(model.network, exported.network, shape) < 1e-3
    scene = write_scene(tmp_path / "scene.tif", ground(90, 70))
    for tile in (40, 72):
        (mine,) = predict(model, scene, tmp_path / f"mine{tile}.tif", size=tile)
        (its,) = predict(path, scene, tmp_path / f"its{tile}.tif", size=tile)
        assert np.mean(read(mine) == read(its)) > 0.999
    with pytest.raises(SettingsError, match="multiples of 8 pixels, found 60"):
        predict(path, scene, tmp_path / "other.tif", size=60)


@pytest.mark.slow
def test_what_cannot_be_rendered_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="eave --any-size out"):
        export_onnx(segmenter(network("cwsam-published")), tmp_path / "any.onnx", side=64, any_size=True)
    assert not list(tmp_path.iterdir())
