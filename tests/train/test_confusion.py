"""Scores against brute force, scikit-learn and torchmetrics; classes that are absent; other evaluators' protocols."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.classification import MulticlassJaccardIndex

from sensam.errors import InputError, SettingsError
from sensam.train.confusion import Confusion, check_two_classes, count, implied_miou, under

IGNORE = 255
NAMES = ("a", "b", "c", "d")


def drawn(seed: int, classes: int = 4, ignored: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, classes, (3, 17, 19))
    found = np.where(dice.random(truth.shape) < 0.6, truth, dice.integers(0, classes, truth.shape))
    truth[dice.random(truth.shape) < ignored] = IGNORE
    return torch.from_numpy(truth), torch.from_numpy(found)


@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 6))
def test_it_counts_what_brute_force_counts(seed: int, classes: int) -> None:
    truth, found = drawn(seed, classes)
    matrix = count(truth, found, classes, IGNORE)
    for row in range(classes):
        for column in range(classes):
            assert matrix[row, column] == ((truth == row) & (found == column)).sum()
    assert matrix.sum() == (truth != IGNORE).sum()


def test_it_agrees_with_scikit_learn_and_torchmetrics() -> None:
    truth, found = drawn(3)
    kept = truth != IGNORE
    t, f = truth[kept].numpy(), found[kept].numpy()
    scored = Confusion(count(truth, found, 4, IGNORE).numpy(), NAMES)
    np.testing.assert_array_equal(scored.matrix_KK, confusion_matrix(t, f))
    np.testing.assert_allclose(scored.iou_K, jaccard_score(t, f, average=None))
    np.testing.assert_allclose(scored.precision_K, precision_score(t, f, average=None))
    np.testing.assert_allclose(scored.recall_K, recall_score(t, f, average=None))
    np.testing.assert_allclose(scored.f1_K, f1_score(t, f, average=None))
    assert scored.allacc == pytest.approx((t == f).mean())
    theirs = MulticlassJaccardIndex(4, ignore_index=IGNORE)(found, truth)
    assert scored.miou == pytest.approx(float(theirs))


def test_parts_of_a_split_add_up_whatever_their_sizes() -> None:
    truth, found = drawn(5)
    whole = count(truth, found, 4, IGNORE)
    parts = [count(truth[:, :5], found[:, :5], 4, IGNORE), count(truth[:, 5:], found[:, 5:], 4, IGNORE)]
    assert torch.equal(whole, parts[0] + parts[1])
    summed = Confusion(parts[0].numpy(), NAMES) + Confusion(parts[1].numpy(), NAMES)
    np.testing.assert_array_equal(summed.matrix_KK, whole.numpy())


def test_a_class_that_is_nowhere_enters_no_mean_and_is_named() -> None:
    matrix = np.zeros((3, 3), np.int64)
    matrix[0] = 8, 2, 0
    matrix[1] = 1, 9, 0
    scored = Confusion(matrix, ("a", "b", "never"))
    assert scored.absent == ("never",)
    assert np.isnan(scored.iou_K[2])
    assert scored.miou == pytest.approx((8 / 11 + 9 / 12) / 2)
    only_found = matrix.copy()
    only_found[0, 2] = 1
    scored = Confusion(only_found, ("a", "b", "never"))
    assert scored.absent == ()
    assert scored.iou_K[2] == 0
    assert np.isnan(scored.recall_K[2])
    assert json.loads(json.dumps(scored.to_dict()))["classes"]["never"]["recall"] is None


def test_nothing_labelled_is_no_score() -> None:
    assert np.isnan(Confusion(np.zeros((2, 2), np.int64), ("a", "b")).miou)


def test_a_label_of_no_class_is_refused() -> None:
    with pytest.raises(InputError, match="run from 0 to 7"):
        count(torch.tensor([0, 7]), torch.tensor([0, 0]), 3, IGNORE)


@given(st.tuples(*(st.integers(1, 10_000) for _ in range(4))))
def test_two_classes_obey_the_identity_that_catches_misprints(cells: tuple[int, int, int, int]) -> None:
    scored = Confusion(np.array(cells).reshape(2, 2), ("no", "fog"))
    assert scored.csi is not None
    assert implied_miou(scored.allacc, scored.csi) == pytest.approx(scored.miou, abs=1e-9)
    assert scored.summary()["csi"] == scored.iou_K[1]
    check_two_classes(scored)


@pytest.mark.parametrize("total", [10**6, 10**9, 10**12])
@given(st.tuples(*(st.integers(0, 1000) for _ in range(3))))
def test_a_class_that_is_seldom_contradicts_nothing(total: int, cells: tuple[int, int, int]) -> None:
    for order in (1, -1):
        matrix = np.array([*cells, total])[::order].reshape(2, 2)
        scores = Confusion(matrix, ("no", "fog")).summary()
        assert not scores["csi"] < 0, "a number, or NaN where there is no fog"


class Miscounted(Confusion):
    """Says another mean than its matrix has."""

    miou = 0.9


def test_scores_of_two_classes_that_contradict_each_other_are_refused() -> None:
    wrong = Miscounted(np.array([[90, 5], [5, 20]]), ("no", "fog"))
    with pytest.raises(InputError, match=r"no and fog contradict.*imply an mIoU of 78\.33 %, found 90\.00 %"):
        check_two_classes(wrong)
    with pytest.raises(InputError, match="contradict"):
        wrong.summary()
    with pytest.raises(InputError, match="contradict"):
        Miscounted(np.array([[20, 5], [9, 2_097_118]]), ("no", "fog")).summary()


def test_the_identity_finds_the_misprint_in_the_published_table() -> None:
    printed = {"C16 Ours": (0.6157, 0.7991, 0.9829), "C16 Rand": (0.5218, 0.7486, 0.7486)}
    differences = {row: abs(implied_miou(allacc, csi) - miou) for row, (csi, miou, allacc) in printed.items()}
    assert differences["C16 Ours"] < 2e-4
    assert differences["C16 Rand"] > 0.05


def test_three_protocols_of_a_background_class() -> None:
    scored = Confusion(np.array([[80, 0, 20], [0, 90, 10], [5, 5, 90]]), ("a", "b", "background"))
    full, ignored, paper = (under(scored, name) for name in ("cwsam-full", "cwsam-ignore-gt", "cwsam-paper"))
    np.testing.assert_allclose(np.round(full.iou_K, 2), [0.76, 0.86, 0.69])
    np.testing.assert_allclose(ignored.iou_K[:2], [0.80, 0.90])
    assert ignored.allacc == pytest.approx(0.85)
    assert ignored.miou == pytest.approx(0.85)
    np.testing.assert_allclose(paper.iou_K[:2], [1.0, 1.0])
    assert paper.allacc == 1.0
    assert np.isnan([ignored.iou_K[2], paper.iou_K[2]]).all()


def test_losing_the_labels_of_one_class_costs_a_perfect_score_for_one_stray_pixel() -> None:
    matrix = np.diag(np.full(22, 10))
    matrix[10, 10] = 50
    perfect = under(Confusion(matrix, tuple(map(str, range(22)))), "e2sam")
    assert perfect.miou == 1.0  # the lost class has no union, so 21 are averaged
    matrix[0, 10] = 1
    stray = under(Confusion(matrix, tuple(map(str, range(22)))), "e2sam")
    assert stray.iou_K[10] == 0
    assert stray.miou == pytest.approx((20 + 10 / 11) / 22)
    assert np.isnan(stray.recall_K[10])


def test_a_scoring_that_does_not_exist_or_fit_is_refused() -> None:
    scored = Confusion(np.eye(2, dtype=np.int64), ("a", "b"))
    with pytest.raises(SettingsError, match="cwsam-paper"):
        under(scored, "cwsam-papre")  # type: ignore[arg-type]  # a typing mistake is what is tested
    with pytest.raises(SettingsError, match="class 10"):
        under(scored, "e2sam")
