"""What would make a score too good: the same ground or the same pixels in two splits, and bands that hold the label."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.checks.problems import Problem, error, warning
from sensam.data.checks.survey import ItemFacts, Survey

SAME_GROUND = 0.01  # share of the smaller footprint that may be shared
ALIKE = 0.995  # correlation of two small pictures that are taken for the same
SAME_LEVEL = 0.05  # difference of their means, in standard deviations of the data set
MOST_COMPARED = 5000  # images; beyond this only every n-th is compared with all


def problems_of_ground(survey: Survey) -> Iterator[Problem]:
    """Footprints that overlap between splits, of images that know where they lie."""
    from shapely import STRtree

    placed = [(facts, shape) for facts in survey.items if (shape := _footprint(facts)) is not None]
    tree = STRtree([shape for _, shape in placed])
    pairs: dict[tuple[str, str], list[ItemFacts]] = defaultdict(list)
    for position, (facts, shape) in enumerate(placed):
        for other in sorted(int(hit) for hit in tree.query(shape)):
            its, its_shape = placed[other]
            if other <= position or its.item.split == facts.item.split:
                continue
            shared = shape.intersection(its_shape).area / min(shape.area, its_shape.area)
            if shared > SAME_GROUND and facts.digest != its.digest:
                pairs[facts.item.split, its.item.split] += [facts, its]
    for (first, second), shown in pairs.items():
        files = dict.fromkeys(facts.item.images[0] for facts in shown)
        count = "1 pair" if len(shown) == 2 else f"{len(shown) // 2} pairs"
        found = f"{count} of images show the same ground in {first} and {second}"
        yield error(found, files, "Split by area, so that no ground is both learnt and tested.")


def _footprint(facts: ItemFacts) -> Any:
    """The ground of a sample in degrees; None where it has no place on Earth."""
    from rasterio.warp import transform_bounds
    from shapely.geometry import box

    info, item = facts.info, facts.item
    if not info.crs or info.transform is None:
        return None
    corners = [
        (
            info.transform.a * column + info.transform.b * row + info.transform.c,
            info.transform.d * column + info.transform.e * row + info.transform.f,
        )
        for row in (part * info.height for part in item.rows)
        for column in (part * info.width for part in item.columns)
    ]
    easts, norths = zip(*corners, strict=True)
    west, south, east, north = transform_bounds(
        info.crs, "EPSG:4326", min(easts), min(norths), max(easts), max(norths), densify_pts=11
    )
    return box(west, south, east, north)


def problems_of_copies(survey: Survey) -> Iterator[Problem]:
    """Images whose pixels are equal, and images that look the same."""
    by_digest: dict[bytes, list[ItemFacts]] = defaultdict(list)
    for facts in survey.items:
        if facts.valid_C.any():
            by_digest[facts.digest].append(facts)
    for group in (group for group in by_digest.values() if len(group) > 1):
        splits = list(dict.fromkeys(facts.item.split for facts in group))
        files = [facts.item.images[0] for facts in group]
        if len(splits) > 1:
            remedy = "Keep each image in one split only."
            yield error(f"{len(group)} images in {' and '.join(splits)} have the same pixels", files, remedy)
        else:
            yield warning(f"{len(group)} images of {splits[0]} have the same pixels", files, "Keep one of them.")
    yield from _lookalikes([group[0] for group in by_digest.values()], survey)


def _lookalikes(items: list[ItemFacts], survey: Survey) -> Iterator[Problem]:
    """Pairs across splits whose small pictures agree in pattern and in level."""
    if len(items) < 2:
        return
    compared = items[:: 1 + len(items) // MOST_COMPARED]
    pattern_NP, level_NC, spread_C = _pictures(compared, survey)
    pairs = []
    for split_a, split_b in combinations(survey.dataset.splits, 2):
        rows_a, rows_b = ([n for n, facts in enumerate(compared) if facts.item.split == s] for s in (split_a, split_b))
        alike_AB = pattern_NP[rows_a] @ pattern_NP[rows_b].T > ALIKE
        for place_a, place_b in np.argwhere(alike_AB):
            one, other = rows_a[place_a], rows_b[place_b]
            if (np.abs(level_NC[one] - level_NC[other]) < SAME_LEVEL * spread_C).all():
                pairs.append((compared[one], compared[other]))
    if pairs:
        files = dict.fromkeys(facts.item.images[0] for pair in pairs for facts in pair)
        found = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''} of images in two splits look the same"
        yield warning(found, files, "If they are the same view, keep them in one split.")


def _pictures(
    items: list[ItemFacts], survey: Survey
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Patterns of length 1 without their mean, mean levels, and the spread of every band."""
    thumbnails = np.array([facts.thumbnail_CHW for facts in items], np.float32)
    means = np.array([watch.gatherer.moments.mean for watch in survey.bands])
    spread_C = np.array([watch.gatherer.moments.std or 1.0 for watch in survey.bands])
    filled = np.where(np.isfinite(thumbnails), thumbnails, means[:, None, None])
    level_NC = filled.mean((2, 3))
    pattern = ((filled - level_NC[:, :, None, None]) / spread_C[:, None, None]).reshape(len(items), -1)
    length = np.linalg.norm(pattern, axis=1, keepdims=True)
    return (pattern / np.where(length > 1e-6, length, np.inf)).astype(np.float32), level_NC, spread_C
