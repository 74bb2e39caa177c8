"""One confusion matrix over a whole split, and every score of class maps that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.errors import InputError, SettingsError, unknown

# Libraries differ by up to 0.2 on the same predictions, so every report says which mean it prints.
MIOU_MEANS = "mIoU: mean over the classes with a union (labelled or predicted anywhere) of one matrix over the split"

LARGEST_BLUR = 1e-3  # of a mean that two scores imply: beyond, a misprint could not be told from rounding

Scoring = Literal["strict", "e2sam", "cwsam-full", "cwsam-ignore-gt", "cwsam-paper"]
WHOLE: tuple[Scoring, ...] = ("strict", "cwsam-full")  # count every labelled pixel
LOST_BY_E2SAM = 10  # the class whose labels the evaluator of E2SAM's authors takes for ignored ones
Matrix = NDArray[np.int64]
Scores = NDArray[np.float64]


def count(truth_BHW: Tensor, found_BHW: Tensor, classes: int, ignore: int) -> Tensor:
    """Pixels by labelled class (rows) and found class (columns); ignored pixels are counted nowhere."""
    counted = truth_BHW != ignore
    truth, found = truth_BHW[counted], found_BHW[counted]
    if truth.numel() and (int(truth.max()) >= classes or int(truth.min()) < 0):
        raise InputError(
            f"Labels run from {int(truth.min())} to {int(truth.max())}, but there are {classes} classes and ignore is "
            f"{ignore}. Correct `classes` or `ignore` of the data set."
        )
    return torch.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels by labelled class (rows) and found class (columns), and the scores that follow."""

    matrix_KK: Matrix
    classes: tuple[str, ...]
    left_out: frozenset[int] = frozenset()  # classes that are not among those averaged

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.matrix_KK.shape != (count, count):
            raise InputError(f"{count} classes need a matrix of {count} x {count}, found {self.matrix_KK.shape}.")

    def __add__(self, other: "Confusion") -> "Confusion":
        if other.classes != self.classes or other.left_out != self.left_out:
            raise InputError(f"Matrices of {self.classes} and of {other.classes} do not add up.")
        return Confusion(self.matrix_KK + other.matrix_KK, self.classes, self.left_out)

    @property
    def labelled_K(self) -> Matrix:
        """Labelled pixels of each class."""
        return np.asarray(self.matrix_KK.sum(1))

    @property
    def found_K(self) -> Matrix:
        """Pixels found to be each class."""
        return np.asarray(self.matrix_KK.sum(0))

    @property
    def hit_K(self) -> Matrix:
        """Pixels of each class that were found."""
        return np.asarray(self.matrix_KK.diagonal())

    @property
    def iou_K(self) -> Scores:
        """Intersection over union; NaN for a class that is neither labelled nor found anywhere."""
        return self._scored(_ratio(self.hit_K, self.labelled_K + self.found_K - self.hit_K))

    @property
    def recall_K(self) -> Scores:
        """Share of each class's labelled pixels that was found; NaN for a class that is labelled nowhere."""
        return self._scored(_ratio(self.hit_K, self.labelled_K))

    @property
    def precision_K(self) -> Scores:
        """Share of what was found as a class that is labelled so; NaN for a class that was found nowhere."""
        return self._scored(_ratio(self.hit_K, self.found_K))

    @property
    def f1_K(self) -> Scores:
        """Harmonic mean of precision and recall; NaN where the IoU is."""
        return self._scored(_ratio(2 * self.hit_K, self.labelled_K + self.found_K))

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a union, which no mean counts."""
        union_K = self.labelled_K + self.found_K
        return tuple(
            name for place, name in enumerate(self.classes) if not union_K[place] and place not in self.left_out
        )

    @property
    def miou(self) -> float:
        return _mean(self.iou_K)

    @property
    def macc(self) -> float:
        return _mean(self.recall_K)

    @property
    def allacc(self) -> float:
        """Share of all pixels that were found as labelled."""
        return float(_ratio(self.hit_K.sum(keepdims=True), self.matrix_KK.sum(keepdims=True).reshape(1))[0])

    @property
    def mf1(self) -> float:
        return _mean(self.f1_K)

    @property
    def csi(self) -> float | None:
        """The critical success index: with two classes, the IoU of the second."""
        return float(self.iou_K[1]) if len(self.classes) == 2 else None

    def summary(self) -> dict[str, float]:
        """The scores that one number each can say."""
        scores = {"miou": self.miou, "macc": self.macc, "allacc": self.allacc, "mf1": self.mf1}
        if self.csi is not None:
            check_two_classes(self)
            scores["csi"] = self.csi
        return scores

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; None stands for what no pixel decides."""
        columns = {"iou": self.iou_K, "precision": self.precision_K, "recall": self.recall_K, "f1": self.f1_K}
        by_class = {
            name: {
                **{column: _plain(values[place]) for column, values in columns.items()},
                "labelled": int(self.labelled_K[place]),
                "found": int(self.found_K[place]),
            }
            for place, name in enumerate(self.classes)
        }
        return {
            **{name: _plain(value) for name, value in self.summary().items()},
            "miou_means": MIOU_MEANS,
            "absent": list(self.absent),
            "classes": by_class,
            "matrix": self.matrix_KK.tolist(),
        }

    def _scored(self, values_K: Scores) -> Scores:
        return np.array([np.nan if place in self.left_out else value for place, value in enumerate(values_K)])


def under(confusion: Confusion, scoring: Scoring, dropped: int | None = None) -> Confusion:
    """The same predictions as another evaluator counts them.

    `strict` and `cwsam-full` count every labelled pixel. `e2sam` loses the labels of one class (10 in the authors'
    code) but not what was found as it. `cwsam-ignore-gt` loses the labels of a background class and its score,
    `cwsam-paper` also what was found as background.
    """
    if scoring not in get_args(Scoring):
        raise unknown("scoring", scoring, get_args(Scoring))
    if scoring in WHOLE:
        return confusion
    if dropped is None:
        dropped = LOST_BY_E2SAM if scoring == "e2sam" else len(confusion.classes) - 1
    if not 0 <= dropped < len(confusion.classes):
        raise SettingsError(f"Scoring {scoring} leaves out class {dropped}, and there are {len(confusion.classes)}.")
    matrix_KK = confusion.matrix_KK.copy()
    matrix_KK[dropped] = 0
    if scoring == "e2sam":
        return Confusion(matrix_KK, confusion.classes)
    if scoring == "cwsam-paper":
        matrix_KK[:, dropped] = 0
    return Confusion(matrix_KK, confusion.classes, frozenset({dropped}))


def implied_miou(allacc: float, csi: float) -> float:
    """With two classes, accuracy and the IoU of one settle the mean IoU: misprints show against it."""
    errors = 1 - allacc
    if csi == 1:
        return 1.0
    union = errors / (1 - csi)
    return (csi + (1 - union) / (1 - union + errors)) / 2


def check_two_classes(confusion: Confusion) -> None:
    """Guard of every two-class report: its numbers must agree with each other."""
    csi, miou = confusion.csi, confusion.miou
    if csi is None or not np.isfinite([csi, *confusion.iou_K]).all():
        return
    seldom = float((confusion.labelled_K[0] + confusion.found_K[0] - confusion.hit_K[0]) / confusion.matrix_KK.sum())
    blur = 8 * np.finfo(np.float64).eps / seldom**2  # of a seldom class little but rounding is left in 1 - union
    if blur > LARGEST_BLUR:
        return
    implied = implied_miou(confusion.allacc, csi)
    if not abs(implied - miou) < 1e-9 + blur:
        raise InputError(
            f"The scores of {' and '.join(confusion.classes)} contradict each other: accuracy and CSI imply an mIoU of "
            f"{100 * implied:.2f} %, found {100 * miou:.2f} %. Trust none of them, and count the split again."
        )


def _ratio(above: Matrix, below: Matrix) -> Scores:
    below_K = np.where(below > 0, below, np.nan)
    return np.asarray(above / below_K, np.float64)


def _mean(values: Sequence[float] | Scores) -> float:
    known = [float(value) for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
