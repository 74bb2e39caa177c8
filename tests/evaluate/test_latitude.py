"""Latitude: one matrix for all images, pixels by their part of the sphere, bands that add up."""

import numpy as np
import pytest

from sensam.data.lens import solid_angle
from sensam.errors import InputError, SettingsError
from sensam.evaluate.latitude import LatitudeScores, labelled_iou, labelled_miou, lost_thin_classes

CLASSES = ("road", "pole", "sky", "never")


def images(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:  # type: ignore[type-arg]
    dice = np.random.default_rng(0)
    truths = [dice.choice([0, 1, 2, 255], (36, 72)) for _ in range(count)]
    return [(np.where(dice.random(truth.shape) < 0.7, truth % 4 % 3, 1), truth) for truth in truths]


def brute_force(pairs: list[tuple[np.ndarray, np.ndarray]], weight_H: np.ndarray) -> float:  # type: ignore[type-arg]
    scores = []
    for kind in range(4):
        both = either = labelled = 0.0
        for found, truth in pairs:
            for row in range(truth.shape[0]):
                for column in range(truth.shape[1]):
                    if truth[row, column] == 255:
                        continue
                    is_true, is_found = truth[row, column] == kind, found[row, column] == kind
                    labelled += is_true
                    both += weight_H[row] * (is_true and is_found)
                    either += weight_H[row] * (is_true or is_found)
        if labelled:
            scores.append(both / either)
    return float(np.mean(scores))


def test_as_counted_pixel_by_pixel() -> None:
    pairs = images()
    scores = LatitudeScores(CLASSES)
    for found, truth in pairs:
        scores.add(found, truth)
    report = scores.report()
    assert report["miou"] == pytest.approx(brute_force(pairs, np.ones(36)), abs=1e-12)
    assert report["miou by solid angle"] == pytest.approx(brute_force(pairs, solid_angle((36, 72)).numpy()), abs=1e-9)
    assert np.array_equal(scores.by_band_NKK.sum(0), scores.plain_KK), "bands share nothing and miss nothing"
    assert set(report) >= {"miou 0-20 deg", "miou 20-40 deg", "miou 40-90 deg"}
    assert np.isnan(scores.by_class()["never"])


def test_one_matrix_is_not_the_mean_over_images() -> None:
    few = np.array([[0, 0, 0, 1]] * 2)
    pairs = [(few, few), (np.zeros((2, 4), int), np.array([[0, 1, 1, 1]] * 2))]
    together = LatitudeScores(("a", "b"))
    apart = []
    for found, truth in pairs:
        together.add(found, truth)
        each = LatitudeScores(("a", "b"))
        each.add(found, truth)
        apart.append(each.report()["miou"])
    assert together.report()["miou"] == pytest.approx(np.mean([8 / 14, 2 / 8]))
    assert abs(together.report()["miou"] - np.mean(apart)) > 0.05


def test_an_error_at_the_pole_counts_little_by_solid_angle() -> None:
    truth = np.zeros((36, 72), int)
    truth[:, :36] = 1
    at_pole, at_horizon = truth.copy(), truth.copy()
    at_pole[0], at_horizon[18] = 0, 0
    by_angle = []
    for found in (at_pole, at_horizon):
        scores = LatitudeScores(("a", "b"))
        scores.add(found, truth)
        by_angle.append(scores.report())
    assert by_angle[0]["miou"] == by_angle[1]["miou"]
    assert by_angle[0]["miou by solid angle"] > by_angle[1]["miou by solid angle"] + 0.02
    assert by_angle[0]["miou 0-20 deg"] == 1
    assert by_angle[1]["miou 40-90 deg"] == 1


def test_classes_without_a_label_are_no_part_of_the_mean() -> None:
    matrix = np.array([[3.0, 1.0], [0.0, 0.0]])
    assert labelled_miou(matrix) == 0.75
    assert np.isnan(labelled_iou(matrix)[1])
    assert np.isnan(labelled_miou(np.zeros((2, 2))))


def test_thin_classes_that_rectification_loses() -> None:
    before = {"road": 0.9, "pole": 0.26, "bicycle": 0.3}
    after = {"road": 0.5, "pole": 0.08, "bicycle": 0.27}
    assert lost_thin_classes(before, after, ("pole", "bicycle")) == {"pole": pytest.approx(0.18)}


def test_mistakes() -> None:
    with pytest.raises(InputError, match="Bring both to one size"):
        LatitudeScores(CLASSES).add(np.zeros((4, 8), int), np.zeros((4, 9), int))
    with pytest.raises(SettingsError, match="rise from the horizon"):
        LatitudeScores(CLASSES, bands_deg=(40, 20))
