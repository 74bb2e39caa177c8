"""A model against a split: tables by class and image that agree with one matrix, whatever the batches."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.errors import SettingsError
from sensam.evaluate.answers import answers
from sensam.evaluate.metrics import Evaluation, evaluate, usual_scoring
from sensam.infer.pixels import read_pixels
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.run import Model, train
from sensam.run.model import as_model
from sensam.sam.model import Sam
from sensam.train.confusion import count
from tests.tiny_sam import TINY

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


class Wide(torch.nn.Module):
    """What it says of a pixel depends on the whole image, as with attention."""

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        return image_BCHW[:, :5] - image_BCHW[:, :5].mean((2, 3), keepdim=True)


def test_what_fills_a_batch_up_changes_no_answer(setting: tuple[Dataset, Model]) -> None:
    """Windows of 32 in 48 x 40 pixels: those at the edges are smaller, and share batches with larger ones."""
    dataset, model = setting
    wide = replace(model, segmenter=replace(model.segmenter, network=Wide()))
    one, three = (evaluate(wide, dataset, batch=batch) for batch in (1, 3))
    np.testing.assert_array_equal(one.matrices_NKK, three.matrices_NKK)


def test_stretched_images_are_judged_at_their_labels_own_size(setting: tuple[Dataset, Model]) -> None:
    """By hand: the whole image at the size that was trained on, its logits back at 48 x 40."""
    dataset, model = setting
    stretched = replace(model, segmenter=replace(model.segmenter, fit="stretch"))
    found = evaluate(stretched, dataset, batch=2)
    for place, item in enumerate(dataset.items("test")):
        label_HW = torch.from_numpy(dataset.read_label(item).astype(np.int64))  # type: ignore[union-attr]
        pixels_CHW, valid_HW = read_pixels(dataset.read(item), len(model.sensor.bands), model.sensor)
        assert valid_HW is not None
        label_HW[~valid_HW] = dataset.ignore
        assert label_HW.shape == (48, 40)
        with torch.no_grad():
            small = interpolate(pixels_CHW[None], (32, 32), mode="bilinear", align_corners=False)
            logits = interpolate(model.segmenter.logits(small), (48, 40), mode="bilinear", align_corners=False)
        expected = count(label_HW, logits[0].argmax(0), len(model.classes), dataset.ignore).numpy()
        # Bands without data near some pixels are resized a little differently.
        assert np.abs(found.matrices_NKK[place] - expected).sum() <= 0.02 * expected.sum()
        assert found.matrices_NKK[place].sum() == expected.sum()
    assert (found.matrices_NKK != evaluate(model, dataset).matrices_NKK).any()


def test_a_model_of_stretched_images_predicts_what_is_scored(setting: tuple[Dataset, Model]) -> None:
    """From a file or from memory; bands without data near some pixels are resized alike as well."""
    dataset, model = setting
    stretched = as_model(model.method, {**model.config, "fit": "stretch"})
    scored = {answer.key: answer for answer in answers(stretched, dataset, "test", batch=2)}
    for item in dataset.items("test"):
        answer = scored[item.key]
        for image in (dataset.read(item), item.images[0]):
            found_HW = torch.from_numpy(stretched.predict(image).astype(np.int64))
            seen_HW = found_HW != dataset.ignore
            assert found_HW.shape == (48, 40)
            assert seen_HW.any()
            assert torch.equal(found_HW[seen_HW], answer.found_HW[seen_HW])
            assert (answer.label_HW[~seen_HW] == dataset.ignore).all()


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


@pytest.mark.parametrize(
    ("protocol", "classes", "scoring"), [("paper", 11, "e2sam"), ("paper", 10, "strict"), ("strict", 11, "strict")]
)
def test_what_was_trained_as_published_is_scored_as_published(
    setting: tuple[Dataset, Model], protocol: str, classes: int, scoring: str
) -> None:
    """The published evaluator loses class 10, which a model of ten classes does not have."""
    names = tuple(f"class {number}" for number in range(classes))
    model = setting[1]
    method = E2Sam(Task(model.sensor, names, Sam(TINY), size=32), E2SamConfig.model_validate({"protocol": protocol}))
    assert usual_scoring(Model(method, replace(model.segmenter, classes=names), model.config)) == scoring


def test_a_scoring_that_is_asked_for_outranks_the_usual(
    setting: tuple[Dataset, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, model = setting
    monkeypatch.setattr("sensam.evaluate.metrics.usual_scoring", lambda _: "cwsam-paper")
    assert evaluate(model, dataset).scoring == "cwsam-paper"
    assert evaluate(model, dataset, scoring="strict").scoring == "strict"


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
