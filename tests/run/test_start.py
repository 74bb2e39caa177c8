"""CWSAM through a whole run: what is saved, what comes back, and an inherited student as its encoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sensam.data.synthetic import FAMILIES
from sensam.data.synthetic.files import write
from sensam.errors import WeightsError
from sensam.methods.base import Method, Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.scratch import Scratch
from sensam.nn.surgery import choose
from sensam.run import load, save_model, train
from sensam.run.assembly import discard, spent
from sensam.run.model import describe_model, load_start, trained_by
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam
from tests.methods.conftest import make_sensor
from tests.train.tiny import Tiny, TinyConfig

TINY = Anatomy("tiny", 16, 2, 2, (1,), window=3, patch=8, image_size=32, embedding=16, decoder_heads=2, decoder_mlp=24)


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    """A tiny SAM in a folder."""
    torch.manual_seed(0)
    save_sam(Sam(TINY), tmp_path / "sam")
    return tmp_path / "sam"


def saved(method: Method, name: str, folder: Path, *stages: str) -> Path:
    config, trained = describe_model(method, name, colours=(), stages=stages), trained_by(method, stages)
    discard(method, spent(method, stages))
    save_model(folder, method, trained, config, {})
    return folder


def image(bands: int) -> Tensor:
    return torch.randn(2, bands, 32, 24, generator=torch.Generator().manual_seed(1))


def test_a_run_saves_what_was_learnt_and_comes_back_the_same(tmp_path: Path, sam: Path) -> None:
    data = write(FAMILIES["sar"], tmp_path / "data", seed=0, counts={"train": 4, "val": 2}, size=(48, 48))
    model = train(
        data, method="cwsam", teacher=str(sam), out=tmp_path / "run", steps=3, batch=2, size=32, workers=0, quiet=True
    )
    assert isinstance(model.method, Cwsam)
    weights = load_file(tmp_path / "run/model/model.safetensors")
    names = [name for name, _ in model.method.named_parameters()]
    moved = {name for name, factor in choose(names, model.method.stages[0].learns).items() if factor > 0}
    assert weights.keys() == moved | {"decoder.place_code"}
    again = load(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(again.method.eval()(image(1)), model.method.eval()(image(1)))


@pytest.mark.parametrize("stages", [("inherit",), ("inherit", "finetune")])
@torch.no_grad()
@pytest.mark.slow
def test_an_inherited_student_stands_in_the_encoders_place(tmp_path: Path, sam: Path, stages: tuple[str, ...]) -> None:
    task = Task(make_sensor(5), ("dry", "wet"), load_sam(sam), size=32)
    student = E2Sam(task, E2SamConfig())
    start = load_start(saved(student, "e2sam", tmp_path / "student", *stages))
    assert start.anatomy == replace(TINY, bands=5, name=start.anatomy.name)
    assert torch.equal(start.encode(image(5)), student.net.encoder.eval()(image(5)))
    for name, weight in task.sam.mask_decoder.state_dict().items():
        assert torch.equal(start.mask_decoder.state_dict()[name], weight)
    method = Cwsam(replace(task, sam=start), CwsamConfig(neck=True)).eval()
    assert method.stem_kind == "own"
    again = load(saved(method, "cwsam", tmp_path / "cwsam", "adapt"))
    assert torch.equal(again.method(image(5)), method(image(5)))


def test_another_student_than_the_one_learnt_on_is_refused(tmp_path: Path, sam: Path) -> None:
    task = Task(make_sensor(5), ("dry", "wet"), load_sam(sam), size=32)
    folder = saved(E2Sam(task, E2SamConfig()), "e2sam", tmp_path / "student", "inherit")
    method = Cwsam(replace(task, sam=load_start(folder)), CwsamConfig())
    mine = saved(method, "cwsam", tmp_path / "cwsam", "adapt")
    torch.manual_seed(9)
    saved(E2Sam(task, E2SamConfig()), "e2sam", tmp_path / "student", "inherit")
    with pytest.raises(WeightsError, match="holds another"):
        load(mine)


def test_a_model_without_an_encoder_is_no_start(tmp_path: Path, sam: Path) -> None:
    task = Task(make_sensor(3), ("dry", "wet"), load_sam(sam), size=32)
    folder = saved(Tiny(task, TinyConfig()), "tests.train.tiny:Tiny", tmp_path / "tiny", "inherit", "finetune")
    with pytest.raises(WeightsError, match=r"model of tests\.train\.tiny:Tiny, which has no encoder"):
        load_start(folder)


@torch.no_grad()
def test_scratch_is_a_start_too_and_a_sam_remains_one(tmp_path: Path, sam: Path) -> None:
    task = Task(make_sensor(4), ("dry", "wet"), load_sam(sam), size=32)
    method = Scratch(task, Scratch.Config())
    start = load_start(saved(method, "scratch", tmp_path / "scratch", "finetune"))
    assert torch.equal(start.encode(image(4)), method.net.encoder.eval()(image(4)))
    assert torch.equal(load_start(sam).encode(image(3)), task.sam.encode(image(3)))
