"""A model against a split: tables by class and image that agree with one matrix, whatever the batches."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.errors import SettingsError
from sensam.evaluate.metrics import Evaluation, evaluate
from sensam.run import Model, train

QUICK = {"size": 32, "batch": 2, "workers": 0, "epochs": 1, "validations": 1, "track": (), "quiet": True}


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Model]:
    folder = tmp_path_factory.mktemp("fog")
    data = write(family("seafog"), folder / "data", seed=0, counts={"train": 2, "val": 1, "test": 2}, size=(48, 40))
    return open_dataset(data), train(data, method="tests.train.tiny:Tiny", out=folder / "run", **QUICK)


def test_every_labelled_pixel_counts_once_whatever_the_batches(setting: tuple[Dataset, Model]) -> None:
    dataset, model = setting
    one, four = (evaluate(model, dataset, batch=batch) for batch in (1, 4))
    np.testing.assert_array_equal(one.matrices_NKK, four.matrices_NKK)
    labelled = 0
    for item in dataset.items("test"):
        label_HW = dataset.read_label(item)
        assert label_HW is not None
        valid_HW = dataset.sensor.decode(dataset.read(item)).valid_HW
        labelled += int(((label_HW != dataset.ignore) & valid_HW).sum())
    assert one.confusion.matrix_KK.sum() == labelled


def test_the_report_says_everything_and_what_its_mean_is(setting: tuple[Dataset, Model], tmp_path: Path) -> None:
    dataset, model = setting
    report = evaluate(model, dataset)
    report.write(tmp_path / "scores.json")
    report.write(tmp_path / "images.csv")
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["miou"] == pytest.approx(report.confusion.miou)
    assert "mean over the classes with a union" in found["miou_means"]
    assert set(found["classes"]) == set(model.classes)
    assert any("mean over the classes with a union" in line for line in report.lines())
    with (tmp_path / "images.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == list(report.keys)


def test_other_classes_are_refused(setting: tuple[Dataset, Model]) -> None:
    dataset, model = setting
    fewer = Dataset(dataset.spec)
    fewer.spec = dataset.spec.model_copy(update={"classes": dataset.spec.classes[:-1]})
    with pytest.raises(SettingsError, match="the same, in the same order"):
        evaluate(model, fewer)


def test_a_scoring_reaches_totals_and_images() -> None:
    matrices = np.array([[[80, 0, 20], [0, 90, 10], [5, 5, 90]]])
    strict, paper = (
        Evaluation("m", "d", "test", scoring, ("a", "b", "rest"), ("x",), matrices)
        for scoring in ("strict", "cwsam-paper")
    )
    assert paper.confusion.miou == 1.0
    assert paper.by_image()[0]["miou"] == 1.0
    assert strict.by_image()[0]["miou"] == pytest.approx(strict.confusion.miou)
    assert strict.confusion.miou < 0.8
