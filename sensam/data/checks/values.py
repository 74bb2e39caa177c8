"""Problems of values: bands that say nothing, numbers outside their range, masks that hold what is no class."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensam.data.checks.bands import MOST_DISTINCT, is_drawn
from sensam.data.checks.problems import Problem, error, warning
from sensam.data.checks.survey import ItemFacts, Survey

MOSTLY = 0.9  # share of pixels from which "nearly all" is said
NOTABLE = 0.001  # share of pixels outside the valid range that is worth a line
CODES_LISTED = 6
FILLS = {-9999, -99999, -999, -32768, -32767, 32767, 65535, 9999, 99999, -1e20, 1e20}  # as writers use them
FAR = 2  # times the usual range


def problems_of_bands(survey: Survey) -> Iterator[Problem]:
    """Bands without a valid number, constant ones, and numbers that the sensor does not allow."""
    names = survey.dataset.sensor.band_names
    empty = [facts for facts in survey.items if not facts.valid_C.any()]
    if empty:
        remedy = "Remove them; if they hold data, correct `nodata` or `valid_range` of the sensor."
        yield error(_images(empty, "without one valid pixel"), _paths(empty), remedy)
    some = [facts for facts in survey.items if facts.valid_C.any()]
    for band, name in enumerate(names):
        dark = [facts for facts in some if facts.valid_C[band] == 0]
        if dark:
            remedy = "Fill the band, or leave it out with `bands`."
            yield error(f"band {name} has no valid number in {_images(dark)}", _paths(dark), remedy)
        yield from _constant(survey, some, band, name)
        yield from _undeclared(survey, band, name)
        yield from _outside(survey, survey.items, band, name)
    thin = [facts for facts in some if 0 < facts.valid_C.max() < 1 - MOSTLY]
    if thin:
        yield warning(_images(thin, "with less than 10 % valid pixels"), _paths(thin), "Leave them out, or cut them.")


def _constant(survey: Survey, items: list[ItemFacts], band: int, name: str) -> Iterator[Problem]:
    flat = [facts for facts in items if facts.low_C[band] == facts.high_C[band]]
    moments = survey.bands[band].gatherer.moments
    if flat and moments.low == moments.high:
        remedy = "Leave it out with `bands`: it tells nothing."
        yield error(f"band {name} is {moments.low:g} everywhere", [survey.dataset.name], remedy)
    elif flat and not is_drawn(survey.bands, band):  # a map may well show one thing only
        remedy = "Look at the file: a band was lost, or a fill value is not declared as nodata."
        yield warning(f"band {name} is constant in {_images(flat)}", _paths(flat), remedy)


def _undeclared(survey: Survey, band: int, name: str) -> Iterator[Problem]:
    """A usual fill value that stands far from all other numbers, and that nobody declared."""
    gatherer, facts = survey.bands[band].gatherer, survey.dataset.sensor.bands[band]
    if not gatherer.moments.count:
        return
    low, high = gatherer.percentiles([2, 98])
    far = FAR * max(high - low, abs(facts.scale))
    for extreme, is_far in (
        (gatherer.moments.low, gatherer.moments.low < low - far),
        (gatherer.moments.high, gatherer.moments.high > high + far),
    ):
        stored = round((extreme - facts.offset) / facts.scale, 3)
        if is_far and stored in FILLS:
            places = (survey.items[n] for n in range(len(survey.items)))
            items = [entry for entry in places if extreme in (entry.low_C[band], entry.high_C[band])]
            found = f"band {name} holds {stored:g} in {_images(items)}, far from all its other numbers"
            yield warning(
                found, _paths(items), f"If it means that there is no data, say so: nodata: {stored:g} for {name}."
            )


def _outside(survey: Survey, items: list[ItemFacts], band: int, name: str) -> Iterator[Problem]:
    """Numbers that only the valid range excludes: a few are odd, most of them mean another scale."""
    allowed = survey.dataset.sensor.bands[band].valid_range
    far = [facts for facts in items if facts.outside_C[band] > NOTABLE]
    if not far or allowed is None:
        return
    worst = max(facts.outside_C[band] for facts in far)
    found = (
        f"band {name} lies outside {allowed[0]:g} to {allowed[1]:g} "
        f"in {_images(far)}, in up to {worst:.1%} of the pixels"
    )
    if worst > 0.5:
        yield error(found, _paths(far), "Correct `scale`, `offset` or `valid_range` of the band in the sensor.")
    else:
        yield warning(found, _paths(far), "They count as not valid. If they are real, widen `valid_range`.")


def problems_of_swapped_files(survey: Survey) -> Iterator[Problem]:
    """A mask that holds a picture, an image that holds a handful of values: most likely each is the other."""
    for facts in survey.items:
        if facts.mask is not None and facts.mask.looks_like_an_image:
            remedy = f"Were {facts.item.images[0].name} and its mask swapped? Put each into its folder."
            yield error("a mask holds a picture, not classes", [facts.item.mask], remedy)
    many = [place for place, watch in enumerate(survey.bands) if watch.distinct > MOST_DISTINCT // 2]
    for facts in survey.items if many else []:
        small = [np.unique(plane[np.isfinite(plane)]).size for plane in facts.thumbnail_CHW[many]]
        classes = len(survey.dataset.classes)
        if classes and max(small) <= classes and (facts.low_C[many] < facts.high_C[many]).all():
            remedy = "If it is a mask, put it into the folder of masks."
            yield error("an image holds no more values than there are classes", facts.item.images, remedy)


def problems_of_masks(survey: Survey) -> Iterator[Problem]:
    """Values of no class, masks without a label, classes that never come."""
    lost: dict[str, list[ItemFacts]] = {}
    counts: dict[str, int] = {}
    for facts in survey.items:
        if facts.mask is None or facts.mask.looks_like_an_image:
            continue
        for code, count in facts.mask.unknown:
            lost.setdefault(code, []).append(facts)
            counts[code] = counts.get(code, 0) + count
    unit = "polygons" if survey.dataset.spec.label.codec == "polygons" else "pixels"
    for code, items in list(lost.items())[:CODES_LISTED]:
        found = f"{code} is no class, and stands in {counts[code]} {unit} of {len(items)} masks"
        files = [facts.item.mask for facts in items]
        if survey.dataset.spec.label.unknown == "ignore":
            yield warning(found, files, "It is ignored, as label.unknown says.")
        else:
            yield error(found, files, f"Add {code} to `classes` or `label.ignored`, or set label.unknown: ignore.")
    bare = [facts.item.mask for facts in survey.items if facts.counts_K.any() and not facts.counts_K[:-1].any()]
    if bare:
        found = "1 mask labels nothing" if len(bare) == 1 else f"{len(bare)} masks label nothing"
        yield warning(found, bare, "All is ignored: leave the samples out, or label them.")


def problems_of_classes(survey: Survey) -> Iterator[Problem]:
    """Classes that cannot be learnt, or cannot be scored."""
    names = survey.dataset.classes
    labelled = {split: counts for split in survey.dataset.splits if (counts := survey.counts(split)[:-1]).any()}
    if not labelled:
        return
    total = np.sum(list(labelled.values()), axis=0)
    for number, name in enumerate(names):
        having = [split for split, counts in labelled.items() if counts[number]]
        lacking = [split for split in labelled if split not in having]
        if not total[number]:
            remedy = "Correct what it is `stored` as, or take it out of `classes`."
            yield warning(f"class {name} is in no mask", [survey.dataset.name], remedy)
        elif "train" in lacking:
            remedy = "Deal the samples so that every class can be learnt."
            yield error(f"class {name} is only in {', '.join(having)}, not in train", ["train"], remedy)
        elif lacking:
            remedy = "Its score there will be undefined; deal the samples otherwise if you want one."
            yield warning(f"class {name} is not in {', '.join(lacking)}", lacking, remedy)


def problems_of_statistics(survey: Survey) -> Iterator[Problem]:
    """Statistics in dataset.yaml that are not those of the files any more."""
    stale = []
    for band, watch in zip(survey.dataset.sensor.bands, survey.bands, strict=True):
        stated = survey.dataset.spec.statistics.get(band.name)
        measured = watch.splits.get("train", watch.gatherer.moments)
        if stated is None or not measured.count:
            continue
        scale = max(measured.std, 1e-12)
        if abs(stated.mean - measured.mean) > 0.1 * scale or not 0.9 < (stated.std or 1e-12) / scale < 1.1:
            stale.append(band.name)
    if stale:
        remedy = "Measure again with: sensam stats DATASET"
        yield warning(f"statistics of {', '.join(stale)} are not those of the files", [survey.dataset.name], remedy)


def _images(items: list[ItemFacts], which: str = "") -> str:
    return f"{len(items)} image{'' if len(items) == 1 else 's'} {which}".rstrip()


def _paths(items: list[ItemFacts]) -> list[Path]:
    return [facts.item.images[0] for facts in items]
