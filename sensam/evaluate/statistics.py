"""Which differences are real: scores over seeds and images, paired tests, intervals, and a ranking in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sensam.errors import InputError

LEVEL = 0.05  # how often a difference may be called real where there is none
DRAWS = 2000  # of a bootstrap

# In names of arrays: S seeds, N images, K classes.
Confusion = NDArray[Any]  # ... x K x K: true by answered; or ... x 1 x 2: sum of IoU, and how many regions


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, and where it would lie if seeds or images had been others of the same kind."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one entry is above another, and how sure that is."""

    value: float
    low: float
    high: float
    p: float  # how often at least this much would be seen if there were no difference
    seeds: int
    images: int

    @property
    def is_real(self) -> bool:
        """Whether it stands out of the noise of both seeds and images. One seed cannot tell."""
        return self.seeds > 1 and self.p < LEVEL


def miou_of(confusion_KK: Confusion) -> NDArray[np.float64]:
    """Mean IoU over the classes that are true or answered anywhere; leading axes are kept, NaN where there is none."""
    hits = np.diagonal(confusion_KK, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion_KK.sum(-1) + confusion_KK.sum(-2) - hits
    iou = np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)
    counted = (union > 0).sum(-1)
    total = np.where(union > 0, iou, 0.0).sum(-1)
    return np.divide(total, counted, out=np.full(total.shape, np.nan), where=counted > 0)


def score_of(counts: NDArray[Any]) -> NDArray[np.float64]:
    """The score of pooled counts: mean IoU of a confusion (K x K), or the mean over regions clicked (1 x 2)."""
    if counts.shape[-2:] == (1, 2):
        total, regions = counts[..., 0, 0].astype(np.float64), counts[..., 0, 1]
        return np.divide(total, regions, out=np.full(total.shape, np.nan), where=regions > 0)
    return miou_of(counts)


def pseudovalues(confusion_SNKK: Confusion) -> NDArray[np.float64]:
    """What each image contributes to the pooled mIoU of each seed (Tukey's jackknife), S x N.

    Their mean is the pooled score but for a bias of the order 1/N, so an analysis of variance of them is one of it.
    """
    images = confusion_SNKK.shape[1]
    if images < 2:
        raise InputError(f"{images} image cannot show how much scores depend on images. Evaluate on two or more.")
    pooled_S1KK = confusion_SNKK.sum(1, keepdims=True)
    without_SN = score_of(pooled_S1KK - confusion_SNKK)
    return images * score_of(pooled_S1KK) - (images - 1) * without_SN


def summary(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation over seeds; 0 where there is one."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else 0.0


def bootstrap(confusion_SNKK: Confusion, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean over seeds of the pooled mIoU, with the 95 % interval of drawing other images."""
    random = np.random.default_rng(seed)
    images = confusion_SNKK.shape[1]
    flat = confusion_SNKK.transpose(1, 0, 2, 3).reshape(images, -1).astype(np.float64)
    # A draw is how often each image comes; the pooled confusion is linear in that.
    counts = random.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)
    pooled = (counts @ flat).reshape(draws, *confusion_SNKK.shape[:1], *confusion_SNKK.shape[2:])
    means = score_of(pooled).mean(1)
    ends = (100 * LEVEL / 2, 100 * (1 - LEVEL / 2))
    low, high = np.nanpercentile(means, ends) if np.isfinite(means).any() else (np.nan, np.nan)  # numpy would warn
    return Interval(float(score_of(confusion_SNKK.sum(1)).mean()), float(low), float(high))


def compare(left_SN: NDArray[np.float64], right_SN: NDArray[np.float64]) -> Difference:
    """A paired test of two entries on the same seeds and the same images, so that it speaks of others of both.

    With several seeds: analysis of variance with seeds and images as random and crossed (after Dorfman, Berbaum and
    Metz), degrees of freedom after Satterthwaite. With one seed only images can be judged, and `is_real` stays False.
    """
    if left_SN.shape != right_SN.shape:
        raise InputError(f"Paired scores must match, found {left_SN.shape} against {right_SN.shape}.")
    difference_SN = left_SN - right_SN
    seeds, images = difference_SN.shape
    value = float(difference_SN.mean())
    error, freedom = _error_of_mean(difference_SN)
    if error == 0:
        return Difference(value, value, value, 1.0 if value == 0 else 0.0, seeds, images)
    reach = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(value) / error, freedom))
    return Difference(value, value - reach, value + reach, p, seeds, images)


def _error_of_mean(difference_SN: NDArray[np.float64]) -> tuple[float, float]:
    """Standard error of the grand mean and its degrees of freedom."""
    seeds, images = difference_SN.shape
    if seeds == 1:
        return float(difference_SN.std(ddof=1)) / images**0.5, images - 1
    if images == 1:
        return float(difference_SN.std(ddof=1)) / seeds**0.5, seeds - 1
    mean = difference_SN.mean()
    seed_S, image_N = difference_SN.mean(1), difference_SN.mean(0)
    rest_SN = difference_SN - seed_S[:, None] - image_N[None] + mean
    # Mean squares of seeds, images and the rest; the error of the mean is (seeds + images - rest) / (S * N).
    of_seeds = images * float(((seed_S - mean) ** 2).sum()) / (seeds - 1)
    of_images = seeds * float(((image_N - mean) ** 2).sum()) / (images - 1)
    of_rest = float((rest_SN**2).sum()) / ((seeds - 1) * (images - 1))
    # Neither source alone may be estimated as less than nothing: that would call noise a difference.
    total = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    parts = of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1) + of_rest**2 / ((seeds - 1) * (images - 1))
    freedom = total**2 / parts if parts else float("inf")
    return (total / (seeds * images)) ** 0.5, max(freedom, min(seeds, images) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of several tests at once, raised so that one false alarm among all of them stays as rare as LEVEL."""
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    found = np.empty(len(p_values))
    found[order] = np.minimum(raised, 1)
    return [float(p) for p in found]


@dataclass(frozen=True, slots=True)
class Standing:
    """One entry of a ranking."""

    name: str
    mean: float
    deviation: float  # over seeds
    interval: Interval  # over images
    behind: Difference | None  # the best minus this one; None for the best
    p: float | None  # of that difference, raised for how many there are
    is_level: bool  # with the best: within noise


def rank(entries: Mapping[str, Confusion]) -> list[Standing]:
    """Entries from the best mean down, each tested against the best, on the seeds and images that all share."""
    if not entries:
        return []
    scores = {name: score_of(confusion.sum(1)) for name, confusion in entries.items()}
    order = sorted(entries, key=lambda name: (-float(scores[name].mean()), name))
    pseudo = {name: pseudovalues(entries[name]) for name in order} if len(order) > 1 else {}
    behind = [compare(pseudo[order[0]], pseudo[name]) for name in order[1:]]
    raised = holm([difference.p for difference in behind])
    standings = []
    for place, name in enumerate(order):
        mean, deviation = summary(scores[name].tolist())
        difference, p = (behind[place - 1], raised[place - 1]) if place else (None, None)
        is_level = difference is None or p is None or difference.seeds < 2 or p >= LEVEL
        standings.append(Standing(name, mean, deviation, bootstrap(entries[name]), difference, p, is_level))
    return standings
