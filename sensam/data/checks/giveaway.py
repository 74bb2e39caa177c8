"""Bands that nearly contain the label: their value alone predicts it, or they are a finished map that knows it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.checks.bands import is_drawn
from sensam.data.checks.problems import Problem, warning
from sensam.data.checks.survey import Survey

BINS = 256
ALMOST_THE_LABEL = 0.9  # agreement of a look-up with the label from which no measurement is believed
INFORMED = 0.3  # the same for a band that is drawn, not measured
LONGEST_LIST = 160  # letters of a list of bands in a remedy
ENOUGH = 200  # pixels below which nothing is said


@dataclass(frozen=True, slots=True)
class Giveaway:
    """How well the value of one band alone gives the class, on images that the look-up has not seen."""

    band: str
    agreement: float  # Cohen's kappa: 0 is chance, 1 is the label
    is_drawn: bool
    distinct: int


def problems_of_giveaways(survey: Survey) -> Iterator[Problem]:
    """A warning for each band that nearly contains the label."""
    told = [
        found for found in giveaways(survey) if found.agreement >= (INFORMED if found.is_drawn else ALMOST_THE_LABEL)
    ]
    names = {found.band for found in told}
    others = ", ".join(name for name in survey.dataset.sensor.band_names if name not in names)
    kept = f"bands: [{others}]" if len(others) <= LONGEST_LIST else "`bands`"
    for found in told:
        what = f"it is no measurement but a finished map ({found.distinct} values), and " if found.is_drawn else ""
        yield warning(
            f"band {found.band} nearly contains the label: {what}its value alone agrees with the label "
            f"by kappa {found.agreement:.2f}",
            [found.band],
            f"If it was made from the labels, or with them, leave it out: {kept}.",
        )


def giveaways(survey: Survey) -> list[Giveaway]:
    """Every band with its agreement; empty where there are too few labelled pixels."""
    labelled = [(values[:, label >= 0], label[label >= 0]) for values, label in survey.kept if (label >= 0).any()]
    if len(labelled) == 1:  # one scene: learn on one half of its pixels
        ((values, label),) = labelled
        labelled = [(values[:, 0::2], label[0::2]), (values[:, 1::2], label[1::2])]
    learn, test = labelled[0::2], labelled[1::2]
    if min(sum(len(label) for _, label in part) for part in (learn, test)) < ENOUGH:
        return []
    learn_CP, learn_P = np.concatenate([v for v, _ in learn], axis=1), np.concatenate([label for _, label in learn])
    test_CP, test_P = np.concatenate([v for v, _ in test], axis=1), np.concatenate([label for _, label in test])
    classes = len(survey.dataset.classes)
    return [
        Giveaway(
            name,
            _agreement(_looked_up(learn_CP[band], learn_P, test_CP[band], classes), test_P, classes),
            is_drawn(survey.bands, band),
            survey.bands[band].distinct,
        )
        for band, name in enumerate(survey.dataset.sensor.band_names)
    ]


def _looked_up(
    learn_P: NDArray[np.float32], label_P: NDArray[np.int64], test_P: NDArray[np.float32], classes: int
) -> NDArray[np.int64]:
    """The most frequent class of each value, or of each of 256 ranges of values."""
    values = np.unique(learn_P)
    if len(values) > BINS:
        edges = np.unique(np.quantile(learn_P, np.linspace(0, 1, BINS + 1)[1:-1])).astype(np.float32)
    else:
        edges = ((values[1:] + values[:-1]) / 2).astype(np.float32)
    counts = np.zeros((len(edges) + 1, classes), np.int64)
    np.add.at(counts, (np.searchsorted(edges, learn_P, side="right"), label_P), 1)
    return np.asarray(counts.argmax(1)[np.searchsorted(edges, test_P, side="right")])


def _agreement(said_P: NDArray[np.int64], true_P: NDArray[np.int64], classes: int) -> float:
    """Cohen's kappa."""
    confusion = np.bincount(true_P * classes + said_P, minlength=classes**2).reshape(classes, classes) / len(true_P)
    by_chance = float(confusion.sum(0) @ confusion.sum(1))
    return 0.0 if by_chance >= 1 else (float(np.trace(confusion)) - by_chance) / (1 - by_chance)
