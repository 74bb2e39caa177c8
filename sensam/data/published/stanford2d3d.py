"""Stanford2D3D: indoor panoramas of six areas with depth and 13 classes (Armeni et al., arXiv 1702.01105).

`area_<n>/pano/rgb/<name>_rgb.png`, `.../depth/<name>_depth.png` (16 bits, 1/512 m) and
`.../semantic/<name>_semantic.png`, whose green and blue bytes are a place in `assets/semantic_labels.json`; red is 0
where something is labelled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, unknown

Fold = Literal[1, 2, 3]
TEST_AREAS: Mapping[int, tuple[str, ...]] = {1: ("5a", "5b"), 2: ("2", "4"), 3: ("1", "3", "6")}
AREAS = ("1", "2", "3", "4", "5a", "5b", "6")
NAMES = (
    "beam",
    "board",
    "bookcase",
    "ceiling",
    "chair",
    "clutter",
    "column",
    "door",
    "floor",
    "sofa",
    "table",
    "wall",
    "window",
)
EIGHT = ("ceiling", "chair", "door", "floor", "sofa", "table", "wall", "window")  # those that panoramas are compared on
COLOURS = (
    *("#7f3c8d", "#11a579", "#3969ac", "#f2b701", "#e73f74", "#80ba5a", "#e68310"),
    *("#008695", "#cf1c90", "#f97b72", "#4b4b8f", "#a5aa99", "#66c5cc"),
)
DEPTH = {"name": "depth", "title": "distance", "unit": "m", "dtype": "uint16", "scale": 1 / 512, "nodata": 65535}


def open_stanford2d3d(root: str | Path, fold: Fold = 1, *, classes: Literal[8, 13] = 8, depth: bool = False) -> Dataset:
    """Splits `train` and `test` of a fold by areas. With 8 classes the other five are ignored; `depth` is a band more.

    Others cut 320 of 2048 rows above and below, where the camera saw nothing; the masks do not label these rows.
    """
    if fold not in TEST_AREAS:
        raise unknown("fold of Stanford2D3D", str(fold), map(str, TEST_AREAS))
    if classes not in get_args(Literal[8, 13]):
        raise unknown("number of classes of Stanford2D3D", str(classes), ("8", "13"))
    root = Path(root)
    places = read_names(root / "assets" / "semantic_labels.json")
    bands: list[Any] = ["red", "green", "blue"]
    sensor: dict[str, Any] = {"preset": "rgb", "name": "stanford2d3d", "geometry": "equirectangular"}
    images: dict[str, Any] = {"rgb": "area_*/pano/rgb/*_rgb.png"}
    if depth:
        sensor = {**sensor, "preset": "rgb-depth", "bands": [*bands, DEPTH]}
        images["depth"] = "area_*/pano/depth/*_depth.png"
    kept = EIGHT if classes == 8 else NAMES
    settings: dict[str, Any] = {
        "name": f"Stanford2D3D-{classes}",
        "sensor": sensor,
        "images": images,
        "masks": "area_*/pano/semantic/*_semantic.png",
        "label": {"codec": "palette", "unknown": "ignore"},
        "classes": [
            {"name": name, "colour": COLOURS[NAMES.index(name)], "stored": [[0, n >> 8, n & 255] for n in places[name]]}
            for name in kept
            if places.get(name)
        ],
        "splits": {
            "train": [f"{area}/*" for area in AREAS if area not in TEST_AREAS[fold]],
            "test": [f"{area}/*" for area in TEST_AREAS[fold]],
        },
    }
    return Dataset(parse_spec(settings, base=root, where=str(root)))


def read_names(path: Path) -> dict[str, list[int]]:
    """For each class the numbers of its things: entries such as `chair_3_office_1_4`, counted from 0."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InputError(f"{path} cannot be read ({fault}). It says what the numbers in the masks mean.") from fault
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InputError(f"{path} must be a list of names such as chair_3_office_1_4. Fetch it again.")
    places: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        places.setdefault(entry.split("_")[0], []).append(number)
    return places
