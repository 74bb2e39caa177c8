"""What benchmarks/e2sam.py says beyond a ranking: how far E2SAM is ahead, and what single pixels already give away."""

from collections.abc import Callable
from pathlib import Path

from single_pixels import learn_single_pixels

from sensam.data.dataset import open_dataset
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.statistics import Difference, compare, pseudovalues

OURS = ("e2sam", "e2sam, detail")
PER_PIXEL = {  # IoU of gradient boosting over single pixels and means of 7 x 7, all bands: the README of the data
    "water12_hls": ("water", 0.619),
    "worldcover12_hls": (None, 0.320),  # the mean over classes
    "mri3_lgg": ("tumour", 0.210),
    "crop_weed_nir2": ("weed", 0.674),
    "s1_flood_sen1floods11": ("water", 0.682),
}
Say = Callable[[str], None]


def margins(outcome: Outcome, say: Say) -> None:
    """E2SAM over every other entry at every share of the labels, on the same seeds and images."""
    scores = [{entry: pseudovalues(c) for entry, c in outcome.confusions(s).items()} for s in outcome.shares]
    for ours in [each for each in OURS if each in outcome.entries]:
        say(f"\n{ours} over, points of mIoU (95 %) | " + " | ".join(f"{100 * share:g} %" for share in outcome.shares))
        for other in outcome.entries:
            if other != ours:
                cells = [_in_points(compare(s[ours], s[other])) if {ours, other} <= s.keys() else "-" for s in scores]
                say(f"  {other} | " + " | ".join(cells))


def _in_points(found: Difference) -> str:
    reach = f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    return f"{reach}{' *' if found.is_real else ''}"


def beside_single_pixels(name: str, data: Path, outcome: Outcome, say: Say) -> None:
    """Every entry beside what a model of single pixels reaches on a real set, as published and on these very splits."""
    if name not in PER_PIXEL or outcome.full < 1:  # it learnt from all labels
        return
    of, published = PER_PIXEL[name]
    here = learn_single_pixels(open_dataset(data), of)
    say(f"\nIoU of {of or 'all classes, their mean'}; gradient boosting of single pixels has {published:.3f}")
    say(f"in the data's README and {here:.3f} here, on these very splits")
    width = max(map(len, outcome.entries)) + 2
    for entry in outcome.entries:
        score = outcome.class_scores(entry).get(of) if of else outcome.curve(entry).get(outcome.full)
        if score is not None:
            verdicts = f"{_beside(score[0], published)}, {_beside(score[0], here)}"
            say(f"  {entry:<{width}}{score[0]:.3f} ± {score[1]:.3f}  {verdicts}")


def _beside(score: float, bar: float) -> str:
    return "above" if score > bar else "BELOW"
