"""From the command's settings to a student alone: an assistant of ours, panoramas without masks, resumed and loaded."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from sensam.config import override
from sensam.data.synthetic import family, write
from sensam.errors import SensamError
from sensam.methods.goodsam.method import GoodSam
from sensam.run import load, train

QUICK = {"steps": 1, "batch": 1, "workers": 0, "validations": 0}
SMALL: dict[str, Any] = {
    "student_head": 8,
    "assistant_size": "b0",
    "masks": {"points_per_side": 2, "min_iou": 0.0, "min_stability": 0.0},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Labelled pinhole pictures."""
    return write(
        family("panorama"), tmp_path / "source", seed=0, counts={"train": 2}, size=(40, 48), domain="perspective"
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Panoramas of which nobody drew masks."""
    return write(
        family("panorama"),
        tmp_path / "target",
        seed=1,
        counts={"train": 2, "test": 1},
        size=(32, 64),
        unlabelled=["train"],
    )


@pytest.mark.slow
def test_from_pinhole_pictures_to_a_student_alone(source: Path, target: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "cache": str(tmp_path / "cache")}
    train(source, method="goodsam", out=tmp_path / "a", stop_after="assistant", settings=settings, quiet=True, **QUICK)
    settings |= {"assistant": str(tmp_path / "a"), "renamed": {"road": "road"}}
    model = train(target, method="goodsam", out=tmp_path / "b", settings=settings, quiet=True, **QUICK)
    assert len(list((tmp_path / "cache" / "masks").rglob("*.npz"))) >= 1
    kept = {name.split(".")[0] for name in model.method.state_dict()}
    assert kept == {"student"}

    shutil.rmtree(tmp_path / "a")  # nobody needs the assistant any more
    again = load(tmp_path / "b")
    image = torch.randn(1, 4, 32, 64)
    with torch.no_grad():
        assert torch.equal(again.segmenter.logits(image), model.segmenter.logits(image))
    folder = tmp_path / "b" / "model" / "model.safetensors"
    parameters = sum(weight.numel() for weight in again.method.parameters())
    assert folder.stat().st_size < 4 * parameters * 1.02 + 100_000
    assert again.predict(next((target.parent / "images" / "test").glob("*.tif"))).shape == (32, 64)
    assert isinstance(again.method, GoodSam)
    with pytest.raises(SensamError, match="its assistant is gone"):
        again.method.ensemble(image[0])


@pytest.mark.slow
def test_a_student_of_fisheyes_from_files(source: Path, tmp_path: Path) -> None:
    counts = {"train": 2, "test": 1}
    fisheyes = write(family("panorama"), tmp_path / "fish", seed=1, counts=counts, size=(64, 64), domain="fisheye")
    settings = {**SMALL, "cache": str(tmp_path / "cache"), "windows": {"kind": "gnomonic", "fov_deg": 90}}
    train(source, method="goodsam", out=tmp_path / "a", stop_after="assistant", settings=settings, quiet=True, **QUICK)
    settings |= {"assistant": str(tmp_path / "a")}
    model = train(fisheyes, method="goodsam", out=tmp_path / "b", settings=settings, quiet=True, **QUICK)
    assert len(list((tmp_path / "cache" / "masks").rglob("*.npz"))) >= 1
    assert (model.sensor.geometry, load(tmp_path / "b").sensor.fov_deg) == ("fisheye", 180)
    assert model.predict(next((fisheyes.parent / "images" / "test").glob("*.tif"))).shape == (64, 64)


@pytest.mark.slow
def test_one_run_with_a_labelled_split(source: Path, target: Path, tmp_path: Path) -> None:
    """Both kinds of images in one data set: the assistant's stage is told which split has labels."""
    text = target.read_text().replace("splits:\n- train\n", "splits:\n- train\n- source\n")
    target.write_text(text)
    for kind in ("images", "masks"):
        shutil.copytree(source.parent / kind / "train", target.parent / kind / "source")
    settings = {**SMALL, "cache": str(tmp_path / "cache"), "rectify": {"boundary": 0}}
    stages = {"assistant": {"split": "source", "size": 48}}
    model = train(target, method="goodsam", out=tmp_path / "run", settings=settings, stages=stages, quiet=True, **QUICK)
    assert model.config["stages"] == ["assistant", "rectify", "distil"]
    with pytest.raises(SensamError, match="have no mask"):
        train(target, method="goodsam", out=tmp_path / "no", settings=settings, quiet=True, **QUICK)


def test_what_belongs_to_the_method_is_said_by_its_name() -> None:
    values = override({"method": "goodsam"}, ["method.assistant=runs/a", "method.fusion.output=hard", "method=goodsam"])
    assert values == {"method": "goodsam", "settings": {"assistant": "runs/a", "fusion": {"output": "hard"}}}


@pytest.mark.slow
def test_an_assistant_sees_numbers_as_it_learnt_them(source: Path, tmp_path: Path) -> None:
    """The same image under other statistics gets the same answer."""
    from sensam.methods.base import Task
    from sensam.methods.goodsam.own import OwnModel

    settings = {**SMALL, "cache": str(tmp_path / "cache")}
    trained = train(
        source, method="goodsam", out=tmp_path / "a", stop_after="assistant", settings=settings, quiet=True, **QUICK
    )
    sensor = trained.sensor
    mean, std = sensor.statistics
    other = sensor.with_statistics((mean + 7).tolist(), (std * 3).tolist())
    other = other.select(["depth", "blue", "green", "red"])
    own = OwnModel(str(tmp_path / "a"), Task(other, trained.classes, trained.method.task.sam, size=32)).eval()
    physical = torch.rand(1, 4, 32, 64) * 100
    ours = (physical - torch.from_numpy(mean)[:, None, None]) / torch.from_numpy(std)[:, None, None]
    shuffled = physical[:, [3, 2, 1, 0]]
    theirs = (shuffled - torch.from_numpy(other.statistics[0])[:, None, None]) / torch.from_numpy(
        other.statistics[1].copy()
    )[:, None, None]
    assert isinstance(trained.method, GoodSam)
    with torch.no_grad():
        assert torch.allclose(own(theirs), trained.method.source(ours), atol=1e-3)
