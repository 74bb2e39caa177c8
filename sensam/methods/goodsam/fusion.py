"""Cross-task complementary fusion: every mask of SAM takes the class that the assistant's pixels in it vote for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.methods.goodsam.boundary import SAM_SIDE
from sensam.methods.goodsam.settings import FusionSettings
from sensam.sam.regions import Regions, decode_runs

FloatCHW = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FusionReport:
    """What became of the masks of a panorama."""

    masks: int = 0  # large enough to be asked
    accepted: int = 0
    rescued: int = 0  # of the accepted: a thin class won over a larger one
    ambiguous: int = 0  # no class had enough votes, and the assistant was left alone
    purity: float = 1.0  # share of the masks' pixels that agree with their mask's first class
    is_used: bool = True  # False: too impure, as masks of another image would be


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A mask with what the assistant's pixels in it say."""

    runs: NDArray[np.int64]
    area: int  # pixels
    quality: float  # the IoU SAM expects
    share_C: NDArray[np.float64]  # of the votes; they sum to 1
    sureness_C: NDArray[np.float64]  # mean confidence of the pixels of each class

    @property
    def top(self) -> tuple[int, int]:
        """The two classes with most votes; of equals the lower number first."""
        order = np.argsort(-self.share_C, kind="stable")
        return int(order[0]), int(order[1 if len(order) > 1 else 0])


def fuse_windows(
    probs: Sequence[FloatCHW],
    masks: Sequence[Regions],
    thin_C: NDArray[np.bool_],
    settings: FusionSettings,
    areas: Sequence[NDArray[np.float64]],
) -> tuple[list[FloatCHW], FusionReport]:
    """The ensemble of each window of a panorama. Whether masks can be trusted is judged on all of them together."""
    triples = list(zip(probs, masks, areas, strict=True))
    votes = [_ask(prob_CHW, found, area_HW, settings) for prob_CHW, found, area_HW in triples]
    asked = [candidate for window in votes for candidate in window]
    total = sum(candidate.area for candidate in asked)
    purity = sum(candidate.area * candidate.share_C.max() for candidate in asked) / total if total else 1.0
    if purity < settings.min_purity:
        return [prob_CHW.copy() for prob_CHW in probs], FusionReport(len(asked), purity=float(purity), is_used=False)
    counts = np.zeros(3, np.int64)
    fused = []
    for prob_CHW, window in zip(probs, votes, strict=True):
        painted, decided = _paint(prob_CHW, window, thin_C, settings)
        fused.append(painted)
        counts += decided
    accepted, rescued, ambiguous = counts.tolist()
    return fused, FusionReport(len(asked), accepted, rescued, ambiguous, float(purity))


def _ask(prob_CHW: FloatCHW, masks: Regions, area_HW: NDArray[np.float64], settings: FusionSettings) -> list[Candidate]:
    """Masks large enough, large to small, with their votes. Ties go by place, so that the order given is nothing."""
    size = (prob_CHW.shape[1], prob_CHW.shape[2])
    smallest = max(1.0, settings.min_area * (max(size) / SAM_SIDE) ** 2)
    guess_HW, sureness_HW = prob_CHW.argmax(0), prob_CHW.max(0)
    weight_HW = sureness_HW * area_HW
    found = []
    for counts, quality in zip(masks.runs, masks.scores_N, strict=True):
        area = int(counts[1::2].sum())
        if area < smallest:
            continue
        mask_HW = decode_runs(counts, size)
        classes = guess_HW[mask_HW]
        votes = np.bincount(classes, weight_HW[mask_HW], len(prob_CHW))
        pixels = np.bincount(classes, minlength=len(prob_CHW))
        sure = np.bincount(classes, sureness_HW[mask_HW], len(prob_CHW)) / np.maximum(pixels, 1)
        found.append(Candidate(counts, area, float(quality), votes / max(votes.sum(), 1e-12), sure))
    return sorted(found, key=lambda mask: (-mask.area, int(mask.runs[0]), mask.runs.tobytes(), mask.quality))


def _paint(
    prob_CHW: FloatCHW, candidates: Sequence[Candidate], thin_C: NDArray[np.bool_], settings: FusionSettings
) -> tuple[FloatCHW, tuple[int, int, int]]:
    """Masks painted over the assistant's probabilities, small ones last; how many were accepted, rescued, skipped."""
    size = (prob_CHW.shape[1], prob_CHW.shape[2])
    guess_HW, sureness_HW = prob_CHW.argmax(0), prob_CHW.max(0)
    kept_HW = (sureness_HW >= settings.keep_confidence) & thin_C[guess_HW]
    fused_CHW = prob_CHW.copy()
    accepted = rescued = ambiguous = 0
    for mask in candidates:
        winner, share, is_rescued = _elect(mask, thin_C, settings, size[0] * size[1])
        if winner is None:
            ambiguous += 1
            continue
        accepted, rescued = accepted + 1, rescued + is_rescued
        pull = settings.strength * min(1.0, share) * mask.quality
        painted_HW = decode_runs(mask.runs, size) & ~(kept_HW & (guess_HW != winner))
        fused_CHW[:, painted_HW] *= 1 - pull
        fused_CHW[winner, painted_HW] += pull
    if accepted:
        fused_CHW /= fused_CHW.sum(0, keepdims=True)
    return fused_CHW, (accepted, rescued, ambiguous)


def _elect(
    mask: Candidate, thin_C: NDArray[np.bool_], settings: FusionSettings, pixels: int
) -> tuple[int | None, float, bool]:
    """The class of a mask with its share of the votes, and whether it is a thin one that was saved."""
    first, second = mask.top
    most, next_most = float(mask.share_C[first]), float(mask.share_C[second])
    is_saved = (
        bool(thin_C[second] and not thin_C[first])
        and next_most >= settings.rescue_ratio * most
        and next_most > 0
        and mask.area <= settings.rescue_area * pixels
        and mask.sureness_C[second] >= settings.rescue_confidence
    )
    if is_saved:
        return second, most + next_most, True
    if most >= settings.dominance:
        return first, most, False
    return None, 0.0, False
