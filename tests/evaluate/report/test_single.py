"""A run's report shows how it learnt and what it reached on validation, and leaves the test split alone."""

from pathlib import Path

import numpy as np
import pytest

from sensam.data.stream import EvaluationStream
from sensam.data.synthetic import family, write
from sensam.errors import InputError
from sensam.evaluate.compare.gather import draw_picks
from sensam.evaluate.report import single
from sensam.evaluate.report.features import mixing
from sensam.evaluate.report.single import write_run_report
from sensam.run import train
from sensam.train.confusion import MIOU_MEANS
from tests.evaluate.report.test_comparison import read


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_sam: Path) -> Path:
    folder = tmp_path_factory.mktemp("single")
    write(family("drive"), folder / "data", seed=0, counts={"train": 4, "val": 3, "test": 2}, size=(32, 32))
    steps = {"steps": 4, "size": 32, "batch": 2, "workers": 0, "validations": 2, "log_every": 1}
    train(
        folder / "data",
        method="e2sam",
        out=folder / "run",
        teacher=str(tiny_sam),
        quiet=True,
        **steps,
    )
    return folder / "run"


@pytest.mark.slow
def test_a_run_is_reported_without_touching_the_test_split(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = []
    original = EvaluationStream.__init__

    def watch(self, dataset, split, **options):  # type: ignore[no-untyped-def]
        splits.append(split)
        original(self, dataset, split, **options)

    monkeypatch.setattr(EvaluationStream, "__init__", watch)
    page = read(write_run_report(run_folder))
    assert splits == ["val"]
    text = "".join(page.text)
    for heading in ("How it learnt", "Classes", "Pictures", "Which bands inheritance looked at", "All settings"):
        assert heading in text
    assert "mIoU on 3 images of the validation split" in text
    assert MIOU_MEANS in text
    names = {path.name for path in (run_folder / "plots").iterdir()}
    for stem in ("inherit-loss", "finetune-loss", "finetune-val_miou", "picks", "classes", "confusion-e2sam"):
        assert {f"{stem}.png", f"{stem}.svg"} <= names
    assert {path.stem for path in (run_folder / "tables").iterdir()} == {"classes", "domains"}
    assert "sensam train --config" in text


@pytest.mark.slow
def test_files_are_hashed_once(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(single, "hash_data", lambda dataset: hashed.append(dataset) or "0123456789abcdef")
    text = "".join(read(write_run_report(run_folder)).text)
    assert len(hashed) == 1
    assert "hash 0123456789abcdef" in text


def test_shares_of_picks_are_running_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("sensam.evaluate.compare.gather.draw_shares", lambda *values: drawn.append(values))
    monkeypatch.setattr("sensam.evaluate.compare.gather.save", lambda *_: "<svg></svg>")
    (tmp_path / "log.csv").write_text("step,picked a,picked b\n1,1.0,0.0\n3,0.25,0.75\n")
    assert draw_picks(tmp_path / "log.csv", tmp_path, "run")
    shares, steps, bands = drawn[0]
    assert (steps, bands) == ([1, 3], ["a", "b"])
    assert shares.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert draw_picks(tmp_path / "absent.csv", tmp_path, "run") == ""


def test_mixing_is_one_where_domains_do_not_matter() -> None:
    random = np.random.default_rng(0)
    domains = tuple("ab"[number % 2] for number in range(400))
    features = random.normal(0, 1, (400, 6)).astype(np.float32)
    assert mixing(features, domains) == pytest.approx(1, abs=0.08)
    apart = features + 30 * np.array([[domain == "a"] for domain in domains])
    assert mixing(apart.astype(np.float32), domains) == 0


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished run"):
        write_run_report(tmp_path)


@pytest.mark.slow
def test_of_a_unet_no_sam_is_named(
    run_folder: Path, tiny_sam: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brief = {"steps": 1, "size": 32, "batch": 2, "workers": 0, "validations": 1}
    settings = {"encoder": "resnet18"}
    data, teacher = run_folder.parent / "data", str(tiny_sam)
    train(data, method="unet", out=tmp_path / "unet", teacher=teacher, settings=settings, **brief)
    assert "given:" not in capsys.readouterr().out
    train(data, method="scratch", out=tmp_path / "scratch", teacher=teacher, **brief)
    assert "given:" in capsys.readouterr().out
    unet, scratch = (read(write_run_report(tmp_path / name)) for name in ("unet", "scratch"))
    assert not any("SAM " in part for part in unet.text)
    assert any(f"SAM {teacher}" in part for part in scratch.text)
    assert not any("on average" in part or "all seeds" in part for part in scratch.text)
