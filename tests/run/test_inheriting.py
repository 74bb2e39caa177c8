"""Inheriting from files to a model folder and on: without labels, to clicks, to classes, with features kept."""

import csv
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sensam
from sensam.cli.app import main
from sensam.data.readers import open_raster
from sensam.data.synthetic import family, write
from sensam.errors import SettingsError, WeightsError
from sensam.infer.inherited import inherited_predictor
from sensam.methods.e2sam import E2Sam
from sensam.sam.model import Sam
from sensam.sam.weights import save_sam
from tests.tiny_sam import TINY

BRIEF = {"epochs": 2, "batch": 2, "size": 32, "workers": 0, "quiet": True, "machine": {"accelerator": "cpu"}}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "fog"
    write(family("seafog"), folder, counts={"train": 4, "val": 2, "test": 2}, size=(32, 32), seed=0)
    return folder


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_student_inherits_answers_clicks_and_learns_classes(tiny_sam: Path, scenes: Path, tmp_path: Path) -> None:
    inherited = sensam.inherit(scenes, out=tmp_path / "student", teacher=str(tiny_sam), **BRIEF)
    assert inherited.config["stages"] == ["inherit"]
    loaded = sensam.load(tmp_path / "student")
    assert isinstance(loaded.method, E2Sam)
    for name, weight in inherited.method.state_dict().items():
        assert torch.equal(weight.cpu(), loaded.method.state_dict()[name]), name
    predictor = inherited_predictor(loaded.method, "rgb")
    image = next((scenes / "images").rglob("test/*.tif"))
    for ask in (lambda: loaded.predict(image), lambda: sensam.predict(loaded, image, tmp_path / "map.tif")):
        with pytest.raises(WeightsError, match=r"has not learnt classes yet.*begin_from"):
            ask()
    assert not (tmp_path / "map.tif").exists()
    predictor.set_image(open_raster(image).pixels_CHW.transpose(1, 2, 0))
    assert predictor.predict(points=(9, 9)).masks_NMHW.shape == (1, 3, 32, 32)

    model = sensam.train(
        scenes, method="e2sam", out=tmp_path / "fine", begin_from=tmp_path / "student", teacher=str(tiny_sam), **BRIEF
    )
    assert model.config["stages"] == ["inherit", "finetune"]
    assert not hasattr(model.method, "teacher")
    assert model.predict(image).shape == (32, 32)
    again = sensam.load(tmp_path / "fine")
    assert np.array_equal(again.predict(image), model.predict(image))
    assert {name.split(".")[0] for name in again.method.state_dict()} == {"net"}


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [False, True])
def test_finetuning_begins_with_the_inherited_student_bit_for_bit(
    tiny_sam: Path, scenes: Path, tmp_path: Path, at_once: bool
) -> None:
    """At a rate of practically nothing it is what fine-tuning ends with, too."""
    sensam.inherit(scenes, out=tmp_path / "student", teacher=str(tiny_sam), **BRIEF)
    still = {"stages": {"finetune": {"rate": 1e-30, "least_rate": 0.0}}, "teacher": str(tiny_sam), **BRIEF}
    begin = {} if at_once else {"begin_from": tmp_path / "student"}
    sensam.train(scenes, method="e2sam", out=tmp_path / "fine", **begin, **still)
    student, fine = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("student", "fine"))
    names = [name for name in student if name.startswith("net.encoder.") and ".neck." not in name]
    assert len(names) > 20
    for name in names:
        assert torch.equal(fine[name], student[name]), name


@pytest.mark.slow
def test_a_student_that_knew_no_detail_is_finetuned_with_it(tiny_sam: Path, scenes: Path, tmp_path: Path) -> None:
    sensam.inherit(scenes, out=tmp_path / "student", teacher=str(tiny_sam), **BRIEF)
    model = sensam.train(
        scenes,
        method="e2sam",
        out=tmp_path / "fine",
        begin_from=tmp_path / "student",
        teacher=str(tiny_sam),
        settings={"detail": True},
        **BRIEF,
    )
    image = next((scenes / "images").rglob("test/*.tif"))
    assert np.array_equal(sensam.load(tmp_path / "fine").predict(image), model.predict(image))


@pytest.mark.slow
def test_kept_features_are_found_again_and_the_log_says_how_often(tiny_sam: Path, scenes: Path, tmp_path: Path) -> None:
    settings = {"bank": 1, "noise": 0.0}
    still = {"augment": {}, "validations": 0, "log_every": 2, **BRIEF, "epochs": 3}
    sensam.inherit(
        scenes, out=tmp_path / "one", teacher=str(tiny_sam), cache=tmp_path / "kept", settings=settings, **still
    )
    avoided = [float(row["teacher_avoided"]) for row in rows(tmp_path / "one")]
    assert avoided == [0, 1, 1]
    sensam.inherit(scenes, out=tmp_path / "two", teacher=str(tiny_sam), settings=settings, **still, views="grid")
    kept, live = ([float(row["mse"]) for row in rows(tmp_path / name)] for name in ("one", "two"))
    assert kept == pytest.approx(live, rel=5e-3)


def test_features_of_views_that_are_drawn_anew_are_refused_before_a_run_begins(
    tiny_sam: Path, scenes: Path, tmp_path: Path
) -> None:
    kept = {"settings": {"cache": str(tmp_path / "kept")}, "teacher": str(tiny_sam), **BRIEF, "size": 16, "epochs": 1}
    with pytest.raises(SettingsError, match=r"^Stage inherit keeps .*stages\.inherit\.views=grid .*`cache` out\.$"):
        sensam.inherit(scenes, out=tmp_path / "run", **kept)
    assert not (tmp_path / "run").exists()
    sensam.inherit(scenes, out=tmp_path / "run", **kept, views="grid")
    assert list((tmp_path / "kept").rglob("*.npy"))


@pytest.mark.slow
def test_images_without_masks_and_classes_are_enough(tiny_sam: Path, tmp_path: Path) -> None:
    write(family("sar"), tmp_path / "radar", counts={"train": 4}, size=(32, 32), seed=0, unlabelled=["train"])
    (tmp_path / "radar" / "dataset.yaml").unlink()
    model = sensam.inherit(tmp_path / "radar", out=tmp_path / "run", teacher=str(tiny_sam), **BRIEF)
    assert model.classes == ()
    assert inherited_predictor(model.method).sam.anatomy.bands == len(model.sensor.bands)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["sensam", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.mark.slow
def test_a_student_is_not_finetuned_under_another_sam(tiny_sam: Path, scenes: Path, tmp_path: Path) -> None:
    """Its neck is the teacher's; another one of the same shape would fit and be wrong."""
    sensam.inherit(scenes, out=tmp_path / "student", teacher=str(tiny_sam), **BRIEF)
    torch.manual_seed(1)
    save_sam(Sam(TINY).eval(), tmp_path / "other")
    with pytest.raises(WeightsError, match=rf"but .*other holds another .*Train with --teacher {tiny_sam}"):
        sensam.train(
            scenes,
            method="e2sam",
            out=tmp_path / "fine",
            begin_from=tmp_path / "student",
            teacher=str(tmp_path / "other"),
            **BRIEF,
        )
    assert not (tmp_path / "fine").exists()


@pytest.mark.slow
def test_the_command_does_the_same_and_says_what_comes_next(
    tiny_sam: Path, scenes: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    sets = [f"--set=train.{name}={BRIEF[name]}" for name in ("epochs", "batch", "size", "workers")]
    code, out, err = command(
        "inherit",
        scenes,
        "--teacher",
        tiny_sam,
        f"--set=out={tmp_path / 'run'}",
        "--cache",
        tmp_path / "kept",
        "--accelerator",
        "cpu",
        "--set=method.neck_loss=1",
        *sets,
    )
    assert (code, err) == (0, "")
    assert "settings.neck_loss=1 " in out
    assert f"the student is in {tmp_path / 'run' / 'model'};" in out
    follow = shlex.split(out.rpartition("with labels: sensam ")[2])
    follow[-1] = str(tmp_path / "fine")
    code, _, err = command(*follow, "--set=machine.accelerator=cpu", *sets)
    assert (code, err) == (0, ""), "the command that it names goes on from the student, whatever that was made with"
    assert sensam.load(tmp_path / "fine").config["stages"] == ["inherit", "finetune"]
    assert list((tmp_path / "kept").rglob("*.npy"))
    assert isinstance(sensam.load(tmp_path / "run").method, E2Sam)
    code, again, err = command("inherit", "--resume", "--out", tmp_path / "run")
    assert (code, err) == (0, ""), "a run goes on by what it wrote down, cache and all"
    assert "is finished" in again
    assert out.splitlines()[-1] == again.splitlines()[-1], "and names the same command"
    code, _, err = command("inherit", "--resume", "--out", tmp_path / "nowhere")
    assert code == 2
    assert "holds no run to go on with" in err
    code, _, err = command("inherit", scenes, "--out", tmp_path / "run", "--set=settings.tripels=2")
    assert code == 2
    assert "triples" in err
