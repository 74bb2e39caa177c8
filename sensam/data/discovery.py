"""A plain folder as a data set: where images and masks lie and how their names belong together, found by looking."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensam.data.guesses import guess_classes, guess_sensor
from sensam.data.layout import FILE_NAME, DatasetSpec, parse_spec
from sensam.data.native import ARRAY_SUFFIXES
from sensam.data.polygons import SUFFIXES as POLYGON_SUFFIXES
from sensam.errors import InputError

IMAGE_FOLDERS = ("images", "image", "img", "imgs", "scenes", "tiles")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt", "polygons")
IMAGE_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".png", ".jpg", ".jpeg", *sorted(ARRAY_SUFFIXES))
SPLIT_ORDER = ("train", "training", "val", "valid", "validation", "test")


@dataclass(frozen=True, slots=True)
class _Place:
    """Folders of one kind: a pattern of folders with {split} or without, and the splits it stands for."""

    pattern: str
    splits: tuple[str, ...]


def discover(folder: Path) -> DatasetSpec:
    """The most likely dataset.yaml of a folder that has none."""
    return parse_spec(guess(folder), base=folder, where=f"{folder} (guessed, there is no {FILE_NAME})")


def guess(folder: Path) -> dict[str, Any]:
    """The same as plain settings, to be written as YAML."""
    images = _place(folder, IMAGE_FOLDERS, IMAGE_SUFFIXES)
    if images is None:
        raise InputError(
            f"{folder} holds no images that are easy to find. Put them in images/ and the masks in masks/, "
            f"or say where they are in a {FILE_NAME}."
        )
    image_files = _files(folder, images, IMAGE_SUFFIXES)
    masks = _place(folder, MASK_FOLDERS, (*IMAGE_SUFFIXES, *POLYGON_SUFFIXES), like=images)
    settings: dict[str, Any] = {
        "sensor": guess_sensor(image_files[0], folder.resolve().name),
        "images": f"{images.pattern}*{image_files[0].suffix}",
    }
    if masks is not None:
        mask_files = _files(folder, masks, (*IMAGE_SUFFIXES, *POLYGON_SUFFIXES))
        settings["masks"] = masks.pattern + _mask_name(image_files, mask_files)
        settings |= guess_classes(mask_files)
    settings["splits"] = _splits(images, len(image_files))
    return settings


def _place(folder: Path, names: Sequence[str], suffixes: Sequence[str], like: _Place | None = None) -> _Place | None:
    """`images/`, `images/SPLIT/`, `SPLIT/images/`, or, for images only, the folder itself."""
    for name in (entry for entry in names if (folder / entry).is_dir()):
        if _holds(folder / name, suffixes):
            return _Place(f"{name}/", ())
        inner = tuple(sub.name for sub in _subfolders(folder / name) if _holds(sub, suffixes))
        if inner:
            return _Place(f"{name}/{{split}}/", _in_order(inner))
    for name in names:
        outer = tuple(sub.name for sub in _subfolders(folder) if _holds(sub / name, suffixes))
        if outer:
            return _Place(f"{{split}}/{name}/", _in_order(outer))
    return _Place("", ()) if like is None and _holds(folder, suffixes) else None


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _holds(folder: Path, suffixes: Sequence[str]) -> bool:
    return folder.is_dir() and any(entry.suffix.lower() in suffixes for entry in folder.iterdir())


def _in_order(splits: Sequence[str]) -> tuple[str, ...]:
    known = [name for name in SPLIT_ORDER if name in splits]
    return (*known, *(name for name in splits if name not in known))


def _files(folder: Path, place: _Place, suffixes: Sequence[str]) -> list[Path]:
    """Files of the most frequent type, sorted; what has another type is left to `sensam check` to report."""
    folders = [folder / place.pattern.format(split=split) for split in place.splits or ("",)]
    files = [entry for each in folders if each.is_dir() for entry in sorted(each.iterdir())]
    files = [entry for entry in files if entry.suffix.lower() in suffixes and not entry.name.startswith(".")]
    usual, _ = Counter(entry.suffix for entry in files).most_common(1)[0]
    return [entry for entry in files if entry.suffix == usual]


def _mask_name(images: Sequence[Path], masks: Sequence[Path]) -> str:
    """The pattern of mask names: the image's own, or with something before and after it."""
    suffix = masks[0].suffix
    stems = {entry.stem for entry in images}
    if stems & {entry.stem for entry in masks}:
        return f"*{suffix}"
    if len(masks) == 1 and suffix in POLYGON_SUFFIXES:
        return masks[0].name
    inside = [
        (mask.stem[: mask.stem.index(stem)], mask.stem[mask.stem.index(stem) + len(stem) :])
        for mask in masks
        for stem in stems
        if stem in mask.stem
    ]
    if inside:
        before, after = Counter(inside).most_common(1)[0][0]
        return f"{before}*{after}{suffix}"
    raise InputError(
        f"Masks such as {masks[0].name} share no name with images such as {images[0].name}. "
        f"Say in a {FILE_NAME} what belongs together, with the same * in `images` and `masks`."
    )


def _splits(images: _Place, count: int) -> Any:
    if images.splits:
        return list(images.splits)
    if count >= 5:
        return {"train": 0.8, "val": 0.2}
    return {"train": {"rows": [0.0, 0.8]}, "val": {"rows": [0.8, 1.0]}}
