"""Problems of files: partners that are missing, files that cannot be read, headers that do not agree."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import hypot
from pathlib import Path
from typing import Any

from sensam.data.checks.problems import Problem, error, warning
from sensam.data.checks.survey import Survey
from sensam.data.dataset import Dataset
from sensam.data.discovery import IMAGE_SUFFIXES
from sensam.data.pairing import find
from sensam.data.raster import RasterInfo

SHIFTED = 0.01  # share of a pixel by which a mask may lie beside its image


def problems_of_pairing(dataset: Dataset) -> Iterator[Problem]:
    """Images without masks, masks without images, samples in no split, splits without samples."""
    pairing, spec = dataset.pairing, dataset.spec
    unlabelled = {name for name, items in dataset.splits.items() if all(item.mask is None for item in items)}
    masks = spec.masks.files if spec.masks else ""
    if spec.masks and unlabelled == set(dataset.splits):
        yield error("no image has a mask", [spec.root], f"Correct `masks: {masks}`, or leave it out.")
    bare = [item.images[0] for item in pairing.without_mask if item.split not in unlabelled]
    if bare:
        remedy = f"Add files that match {masks}, or move these images to a split of their own."
        yield error(_count(bare, "image has no mask", "images have no mask"), bare, remedy)
    if pairing.without_image:
        patterns = ", ".join(files.files for files in spec.images.values())
        remedy = f"Add images that match {patterns}, or delete the masks."
        found = _count(pairing.without_image, "mask has no image", "masks have no image")
        yield error(found, pairing.without_image, remedy)
    for key, missing in pairing.incomplete.items():
        remedy = "Add the file, or delete what the other instruments have of this sample."
        yield error(f"no {' and no '.join(missing)} of a sample", [key], remedy)
    if pairing.without_split:
        found = _count(pairing.without_split, "image is in no split", "images are in no split")
        yield warning(found, pairing.without_split, "Name them under `splits`, or leave them out on purpose.")
    for name, items in dataset.splits.items():
        if not items:
            yield error("a split is empty", [name], "Correct its folder or its keys under `splits`.")


def problems_of_leftovers(dataset: Dataset) -> Iterator[Problem]:
    """Files beside the images that no pattern takes, because they end or are spelt in another way."""
    spec = dataset.spec
    patterns = [files for files in (*spec.images.values(), spec.masks) if files is not None]
    folders = {rule.folder or name for name, rule in spec.splits.items()}
    taken = {path for files in patterns for folder in folders for path in find(spec.root, files, folder).values()}
    images = {path for items in dataset.splits.values() for item in items for path in item.images}
    starred = any("*" in files.files for files in spec.images.values())
    beside = (path for folder in {path.parent for path in images if starred} for path in folder.iterdir())
    left = sorted(path for path in beside if _is_image(path) and path not in taken)
    if left:
        found = _count(left, "file beside the images is not used", "files beside the images are not used")
        yield warning(found, left, "Convert them to the type of the others, or widen the pattern under `images`.")


def problems_of_reading(survey: Survey) -> Iterator[Problem]:
    """Files that cannot be opened, decoded, or matched to the sensor, grouped by what is said against them."""
    refusals = [(item.images[0], mistake) for item, mistake in survey.unreadable]
    refusals += [
        (facts.item.mask, facts.mask.refusal)
        for facts in survey.items
        if facts.item.mask and facts.mask and facts.mask.refusal and not facts.mask.looks_like_an_image
    ]
    groups: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for path, mistake in refusals:
        groups[str(mistake).replace(str(path), "")].append((path, str(mistake)))
    for group in groups.values():
        alike = "" if len(group) == 1 else f"{len(group)} files alike: "
        yield error(
            alike + group[0][1].rstrip("."), [path for path, _ in group], "Mend it, or take it out of its split."
        )


def problems_of_headers(survey: Survey) -> Iterator[Problem]:
    """Types, coordinate systems and pixel sizes that differ among files, and masks that lie beside their images."""
    yield from _minority(survey, "stored as", lambda info: info.dtype, "Store all images in the same type.")
    remedy = "Reproject them, so that a pixel means the same ground everywhere."
    yield from _minority(survey, "in", lambda info: _crs_name(info.crs), remedy)
    yield from _minority(survey, "made of", _pixel_size, "Resample them to one pixel size.")
    for facts in survey.items:
        if facts.mask is None or facts.mask.info is None or facts.mask.refusal is not None:
            continue
        mine, its = facts.info, facts.mask.info
        if mine.crs and its.crs and mine.crs != its.crs:
            found = f"a mask is in {_crs_name(its.crs)}, its image in {_crs_name(mine.crs)}"
            yield error(found, [facts.item.mask], "Reproject the mask onto the grid of its image.")
        elif (shift := _shift(mine.transform, its.transform)) > SHIFTED:
            found = f"a mask lies {shift:.3g} pixels beside its image"
            yield error(found, [facts.item.mask], "Cut the mask and the image on the same grid.")


def _minority(survey: Survey, word: str, fact: Callable[[RasterInfo], str], remedy: str) -> Iterator[Problem]:
    """Images that differ from most others in one fact; a fact that a file does not state differs from nothing."""
    by_value: dict[str, list[Path]] = defaultdict(list)
    for facts in survey.items:
        if value := fact(facts.info):
            by_value[value].append(facts.item.images[0])
    usual = max(by_value, key=lambda value: len(by_value[value]), default="")
    for value, paths in by_value.items():
        if value != usual:
            verb = "image is" if len(paths) == 1 else "images are"
            yield warning(f"{len(paths)} {verb} {word} {value}, most are {word} {usual}", paths, remedy)


def _crs_name(crs: Any) -> str:
    if not crs:
        return ""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt().split('"')[1]


def _pixel_size(info: RasterInfo) -> str:
    """Width and height of a pixel to two digits: scenes of one sensor differ a little after reprojection."""
    if info.transform is None:
        return ""
    east, north = (
        hypot(*pair) for pair in ((info.transform.a, info.transform.d), (info.transform.b, info.transform.e))
    )
    return f"pixels of {east:.2g} x {north:.2g}"


def _shift(mine: Any, its: Any) -> float:
    """How far the corner of one grid lies from that of another, in pixels; 0 where either has no place."""
    if mine is None or its is None:
        return 0.0
    return hypot(its.c - mine.c, its.f - mine.f) / hypot(mine.a, mine.d)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _count(things: Sequence[object], one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"
