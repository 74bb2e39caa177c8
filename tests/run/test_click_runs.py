"""SimMAT through whole runs: the same numbers again and after a stop, and on a student that inherited."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sensam.data.synthetic import family, write
from sensam.evaluate.report.single import write_run_report
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.rebuilding import discard, load_start, spent, trained_by
from sensam.methods.simmat import SimMat, SimMatConfig
from sensam.nn.surgery import freeze_all_but
from sensam.run import load, save_model, train
from sensam.run.model import describe_model
from sensam.sam.anatomy import Anatomy
from sensam.sam.model import Sam
from sensam.sam.weights import load_sam, save_sam
from sensam.types import Batch
from tests.methods.conftest import make_sensor, moment
from tests.run.stopping import stopped_at

SMALL = Anatomy(
    "small", 16, 2, 2, (1,), window=3, patch=8, image_size=32, embedding=16, decoder_heads=2, decoder_mlp=24
)
SHORT = {"steps": 10, "batch": 2, "size": 32, "workers": 0, "validations": 2, "save_every": 1, "log_every": 1}


@pytest.fixture
def sam(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_sam(Sam(SMALL), tmp_path / "sam")
    return tmp_path / "sam"


@pytest.fixture
def heat(tmp_path: Path) -> Path:
    folder = tmp_path / "heat"
    write(family("modality:thermal"), folder, seed=0, counts={"train": 6, "val": 2}, size=(32, 32))
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def taught(heat: Path, sam: Path, out: Path, *, seed: int = 0, resume: bool = False) -> list[dict[str, str]]:
    # Prompts, because their dropout draws random numbers that a loss does not ask its moment for.
    settings = {"strategy": "prompt", "amount": 4, "regions": "connected"}
    common: dict[str, Any] = {"method": "simmat", "teacher": str(sam), "track": (), "quiet": True, "rate": 1e-3}
    train(heat, out=out, seed=seed, resume=resume, settings=settings, **common, **SHORT)
    return rows(out)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_losses_also_after_a_stop(
    heat: Path, sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, other = taught(heat, sam, tmp_path / "whole"), taught(heat, sam, tmp_path / "other", seed=1)
    write_run_report(tmp_path / "whole")
    assert (tmp_path / "whole/plots/clicks-val_click_iou.svg").is_file()
    assert len(whole) == 10
    assert [row["loss"] for row in whole] != [row["loss"] for row in other]
    with stopped_at(monkeypatch, 4):  # three steps an epoch: in the middle of the second
        taught(heat, sam, tmp_path / "broken")
    state = torch.load(tmp_path / "broken/checkpoints/last.pt", weights_only=True)
    assert state
    assert taught(heat, sam, tmp_path / "broken", resume=True) == whole
    ours, theirs = (load_file(tmp_path / run / "model/model.safetensors") for run in ("broken", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())


@pytest.mark.slow
def test_validation_chooses_and_best_and_last_scores_are_both_told(heat: Path, sam: Path, tmp_path: Path) -> None:
    log = taught(heat, sam, tmp_path / "run")
    judged = {int(row["step"]): float(row["val_click_iou"]) for row in log if row["val_click_iou"]}
    assert list(judged) == [5, 10]  # the last step is judged whether or not it is the best
    (results,) = json.loads((tmp_path / "run/metrics.json").read_text())["stages"].values()
    assert results["val_click_iou"] == pytest.approx(max(judged.values()))
    assert judged[int(results["best_step"])] == max(judged.values())
    assert {"val_click_iou_decoder", "val_click_iou_by_image", "val_regions", "val_images_without_regions"} <= set(
        log[0]
    )


STUDENTS = [
    {"projector": "none", "strategy": "lora"},
    {"projector": "mat_conv", "strategy": "lora"},
    {"projector": "mat_gated", "strategy": "prefix"},
    {"projector": "none", "strategy": "adapter", "head": "classwise"},
    {"projector": "mat_conv", "strategy": "full", "head": "classwise"},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", STUDENTS, ids=lambda settings: "-".join(settings.values()))
def test_any_part_on_a_student_that_inherited_thirteen_bands(
    sam: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    base = Task(make_sensor(13), ("dry", "wet"), load_sam(sam), size=32)
    student = E2Sam(base, E2SamConfig())
    config = describe_model(student, "e2sam", colours=(), stages=("inherit",))
    trained = trained_by(student, ("inherit",))
    discard(student, spent(student, ("inherit",)))
    save_model(tmp_path / "student", student, trained, config, {})
    start = load_start(tmp_path / "student")
    amount = {} if settings["strategy"] == "full" else {"amount": 3}
    method = SimMat(replace(base, sam=start), SimMatConfig(**settings, **amount))
    image = torch.randn(2, 13, 32, 32)
    if settings["projector"] == "none" and settings["strategy"] in ("lora", "adapter"):
        assert torch.equal(method.eval().sam.encode(image), student.net.encoder.eval()(image))
    (stage,) = method.stages
    moving = freeze_all_but(method, stage.learns)
    optimiser = torch.optim.Adam([p for name, p in method.named_parameters() if name in moving], lr=1e-2)
    label = (image[:, 0] > 0).long()
    method.train()
    for step in range(3):
        batch = Batch(image, label >= 0, label, ("a", "b"))
        stage.loss(batch, moment(step))["loss"].backward()
        optimiser.step()
        optimiser.zero_grad()
    save_model(
        tmp_path / "model",
        method.eval(),
        trained_by(method, (stage.name,)),
        describe_model(method, "simmat", colours=(), stages=(stage.name,)),
        {},
    )
    again = load(tmp_path / "model").method
    assert isinstance(again, SimMat)
    with torch.no_grad():
        # Equal weights that lie elsewhere in memory may take another kernel, and end in other last bits.
        torch.testing.assert_close(again.sam.encode(image), method.sam.encode(image), rtol=0, atol=1e-5)
        if method.decoder is not None:
            assert method(image).shape == (2, 2, 32, 32)
            torch.testing.assert_close(again(image), method(image), rtol=0, atol=1e-5)
