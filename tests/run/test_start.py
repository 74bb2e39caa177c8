"""CWSAM through a whole run: what is saved, what comes back, and an inherited student as its encoder."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sensam.data.synthetic import FAMILIES
from sensam.data.synthetic.files import write
from sensam.errors import WeightsError
from sensam.methods import rebuilding
from sensam.methods.base import Method, Task
from sensam.methods.cwsam import Cwsam, CwsamConfig
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.folder import read_model
from sensam.methods.rebuilding import discard, load_start, restore, spent, trained_by
from sensam.methods.scratch import Scratch
from sensam.nn.adapted_encoder import detach, wrap
from sensam.nn.surgery import choose
from sensam.run import load, save_model, train
from sensam.run.model import describe_model
from sensam.sam.weights import load_sam
from tests.methods.conftest import make_sensor
from tests.run.stopping import stopped_at
from tests.tiny_sam import TINY
from tests.train.tiny import Tiny, TinyConfig


def saved(method: Method, name: str, folder: Path, *stages: str) -> Path:
    config, trained = describe_model(method, name, colours=(), stages=stages), trained_by(method, stages)
    discard(method, spent(method, stages))
    save_model(folder, method, trained, config, {})
    return folder


def image(bands: int) -> Tensor:
    return torch.randn(2, bands, 32, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
def test_a_run_saves_what_was_learnt_and_comes_back_the_same(tmp_path: Path, tiny_sam: Path) -> None:
    data = write(FAMILIES["sar"], tmp_path / "data", seed=0, counts={"train": 4, "val": 2}, size=(48, 48))
    model = train(
        data,
        method="cwsam",
        teacher=str(tiny_sam),
        out=tmp_path / "run",
        steps=3,
        batch=2,
        size=32,
        workers=0,
        quiet=True,
    )
    assert isinstance(model.method, Cwsam)
    weights = load_file(tmp_path / "run/model/model.safetensors")
    names = [name for name, _ in model.method.named_parameters()]
    moved = {name for name, factor in choose(names, model.method.stages[0].learns).items() if factor > 0}
    assert weights.keys() == moved | {"decoder.place_code"}
    again = load(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(again.method.eval()(image(1)), model.method.eval()(image(1)))


def radar(folder: Path, side: int) -> Path:
    """Six images to learn from and three, which two processes cannot share evenly, to validate on."""
    return write(FAMILIES["sar"], folder, seed=0, counts={"train": 6, "val": 3}, size=(side, side))


SHORT = {"steps": 4, "size": 32, "workers": 0, "validations": 2, "save_every": 1, "log_every": 1, "rate": 1e-3}


@pytest.mark.slow
def test_stopped_and_resumed_it_ends_the_same(tmp_path: Path, tiny_sam: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = radar(tmp_path / "data", 48)

    def run(name: str) -> tuple[bytes, str]:
        out = tmp_path / name
        train(data, method="cwsam", teacher=str(tiny_sam), out=out, batch=4, resume=True, quiet=True, track=(), **SHORT)
        return (out / "model/model.safetensors").read_bytes(), (out / "log.csv").read_text()

    whole = run("whole")
    with stopped_at(monkeypatch, 3):  # two steps an epoch: in the middle of the second
        run("broken")
    assert not (tmp_path / "broken/model").exists()
    assert run("broken") == whole


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path: Path, tiny_sam: Path) -> None:
    data = radar(tmp_path / "data", 32)
    alone, both = tmp_path / "alone", tmp_path / "both"
    train(data, method="cwsam", teacher=str(tiny_sam), out=alone, batch=4, quiet=True, track=(), **SHORT)
    sets = {**{f"train.{name}": value for name, value in SHORT.items()}, "train.batch": 2, "track": "[]"}
    machine = {"machine.accelerator": "cpu", "machine.devices": 2}
    words = ["train", data, "--method", "cwsam", "--teacher", tiny_sam, "--out", both]
    words += [f"--set={name}={value}" for name, value in (sets | machine).items()]
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "sensam", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    ours, theirs = (load_file(out / "model/model.safetensors") for out in (both, alone))
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        # A bias of keys changes no attention: its gradient is rounding, of which AdamW makes steps that can be seen.
        atol = 2 * SHORT["rate"] if name.endswith("k_proj.bias") else 1e-5
        torch.testing.assert_close(ours[name], weight, atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    logs = (csv.DictReader((out / "log.csv").read_text().splitlines()) for out in (both, alone))
    for one, other in zip(*logs, strict=True):
        for name, value in other.items():
            if name != "name" and value:  # of validation, a pixel between two classes may fall to the other one
                assert float(one[name]) == pytest.approx(float(value), abs=2e-3 if "val_" in name else 1e-5), name


ANSWERS = """
import sys, torch
from sensam.run import load
with torch.no_grad():
    torch.save(load(sys.argv[1]).method.eval()(torch.load(sys.argv[2])), sys.argv[3])
"""


@pytest.mark.slow
@torch.no_grad()
def test_switched_on_one_sam_they_answer_as_in_processes_of_their_own(tmp_path: Path, tiny_sam: Path) -> None:
    torch.save(image(3), tmp_path / "image.pt")
    base = load_sam(tiny_sam)
    task = Task(make_sensor(3), ("dry", "wet"), base, size=32)
    methods, alone = [], []
    for number in (0, 1):
        method = Cwsam(task, CwsamConfig())
        for name, weight in method.named_parameters():
            if name.startswith(("encoder.part.", "decoder.head.")):
                weight.add_(0.1 * torch.randn(weight.shape))
        folder = saved(method, "cwsam", tmp_path / f"model-{number}", "adapt")
        words = [folder, tmp_path / "image.pt", tmp_path / f"answer-{number}.pt"]
        subprocess.run([sys.executable, "-c", ANSWERS, *map(str, words)], check=True, timeout=120)
        alone.append(torch.load(tmp_path / f"answer-{number}.pt"))
        methods.append(Cwsam(task, CwsamConfig()))
        restore(methods[-1], load_file(folder / "model.safetensors"), ("adapt",), str(folder))
        methods[-1].requires_grad_(False)  # as what `load` returns: what may learn takes other kernels
    assert not torch.equal(*alone)
    for _ in range(2):
        for method, expected in zip(methods, alone, strict=True):
            assert torch.equal(method.eval()(image(3)), expected)
            wrap(base, method.encoder.part)
            assert torch.equal(base.encode(image(3)), method.encoder(image(3)))
            detach(base)


@pytest.mark.parametrize("stages", [("inherit",), ("inherit", "finetune")])
@torch.no_grad()
@pytest.mark.slow
def test_an_inherited_student_stands_in_the_encoders_place(
    tmp_path: Path, tiny_sam: Path, stages: tuple[str, ...]
) -> None:
    task = Task(make_sensor(5), ("dry", "wet"), load_sam(tiny_sam), size=32)
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


@pytest.mark.parametrize("stages", [("inherit",), ("inherit", "finetune")])
def test_a_student_and_its_teacher_are_read_once(
    tmp_path: Path, tiny_sam: Path, stages: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(make_sensor(5), ("dry", "wet"), load_sam(tiny_sam), size=32)
    folder = saved(E2Sam(task, E2SamConfig()), "e2sam", tmp_path / "student", *stages)
    read: list[object] = []
    monkeypatch.setattr(rebuilding, "load_sam", lambda source: read.append(source) or load_sam(source))
    monkeypatch.setattr(rebuilding, "read_model", lambda source: read.append(source) or read_model(source))
    load_start(folder)
    assert read == [folder, str(tiny_sam)]


@pytest.mark.slow
def test_another_student_than_the_one_learnt_on_is_refused(tmp_path: Path, tiny_sam: Path) -> None:
    task = Task(make_sensor(5), ("dry", "wet"), load_sam(tiny_sam), size=32)
    folder = saved(E2Sam(task, E2SamConfig()), "e2sam", tmp_path / "student", "inherit")
    method = Cwsam(replace(task, sam=load_start(folder)), CwsamConfig())
    mine = saved(method, "cwsam", tmp_path / "cwsam", "adapt")
    torch.manual_seed(9)
    saved(E2Sam(task, E2SamConfig()), "e2sam", tmp_path / "student", "inherit")
    with pytest.raises(WeightsError, match="holds another"):
        load(mine)


def test_a_model_without_an_encoder_is_no_start(tmp_path: Path, tiny_sam: Path) -> None:
    task = Task(make_sensor(3), ("dry", "wet"), load_sam(tiny_sam), size=32)
    folder = saved(Tiny(task, TinyConfig()), "tests.train.tiny:Tiny", tmp_path / "tiny", "inherit", "finetune")
    with pytest.raises(WeightsError, match=r"model of tests\.train\.tiny:Tiny, which has no encoder"):
        load_start(folder)


@torch.no_grad()
def test_scratch_is_a_start_too_and_a_sam_remains_one(tmp_path: Path, tiny_sam: Path) -> None:
    task = Task(make_sensor(4), ("dry", "wet"), load_sam(tiny_sam), size=32)
    method = Scratch(task, Scratch.Config())
    start = load_start(saved(method, "scratch", tmp_path / "scratch", "finetune"))
    assert torch.equal(start.encode(image(4)), method.net.encoder.eval()(image(4)))
    assert torch.equal(load_start(tiny_sam).encode(image(3)), task.sam.encode(image(3)))
