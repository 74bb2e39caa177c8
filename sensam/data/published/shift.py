"""SHIFT: synthetic drives in colour and depth, at day, dawn or dusk and night (Sun et al., CVPR 2022), front view.

`imgRGB/<seq>/<frame>_img_front.jpg`, `depth/<seq>/<frame>_depth_front.png` (24 bits in three bytes) and
`semseg/<seq>/<frame>_semseg_front.png` (class in the red channel); an index file lists images with their time of day.
"""

import re
from collections.abc import Iterable, Mapping
from math import log1p
from pathlib import Path
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.published.statistics import STATISTICS, Statistics
from sensam.errors import InputError, SettingsError, unknown

FARTHEST_M = 1000.0  # all bits set; the sky
METRES_PER_STEP = FARTHEST_M / (2**24 - 1)  # metres = (65536 blue + 256 green + red) * this
IMAGE = re.compile(r"(?:.*/)?(?P<seq>[^/]+)/(?P<frame>[^/]+)_img_front\.jpg")

# Names in the order of their numbers, and the colours of CARLA, in which the drives were simulated.
CLASSES = (
    ("unlabeled", "#000000"),
    ("building", "#464646"),
    ("fence", "#642828"),
    ("other", "#375a50"),
    ("pedestrian", "#dc143c"),
    ("pole", "#999999"),
    ("road line", "#9dea32"),
    ("road", "#804080"),
    ("sidewalk", "#f423e8"),
    ("vegetation", "#6b8e23"),
    ("vehicle", "#00008e"),
    ("wall", "#66669c"),
    ("traffic sign", "#dcdc00"),
    ("sky", "#4682b4"),
    ("ground", "#510051"),
    ("bridge", "#966464"),
    ("rail track", "#e6968c"),
    ("guard rail", "#b4a5b4"),
    ("traffic light", "#faaa1e"),
    ("static", "#6ebea0"),
    ("dynamic", "#aa7832"),
    ("water", "#2d3c96"),
    ("terrain", "#91aa64"),
)
NOT_SCORED = (0, 3, 14, 15, 16, 17, 19, 20, 21)  # by the data set's own toolkit, which leaves 14 classes

Index = Mapping[str, tuple[str, ...]]  # time of day -> keys "<seq>/<frame>"


def open_shift(
    root: str | Path,
    index: Mapping[str, str | Path],
    *,
    classes: Literal[23, 14] = 23,
    only: str | None = None,
    statistics: Statistics = "published",
) -> Dataset:
    """Colour and depth of the frames that index files list, one file for each split; times of day are domains.

    `only` keeps one time of day. Depth is fed as log(1 + metres), colours as value / 255, neither normalised further;
    with `statistics="measured"` both are standardised, in training on its split.
    """
    if classes not in (23, 14):
        raise SettingsError(f"SHIFT has 23 classes, or the 14 that its toolkit scores; found {classes}.")
    read = {split: read_index(Path(path)) for split, path in index.items()}
    times = {time for found in read.values() for time in found}
    if only is not None and only not in times:
        raise unknown("time of day", only, times)
    kept = {split: {t: keys for t, keys in found.items() if only in (None, t)} for split, found in read.items()}
    settings: dict[str, Any] = {
        "name": "SHIFT",
        "sensor": {**SENSOR, "every_band": {"valid_range": (0.0, 1.0), **STATISTICS[statistics]}},
        "images": {
            "rgb": "imgRGB/*/*_img_front.jpg",
            "depth": {
                "files": "depth/*/*_depth_front.png",
                "unpack": "rgb24",
                "scale": METRES_PER_STEP,
                "log1p": True,
            },
        },
        "masks": "semseg/*/*_semseg_front.png",
        "label": {"channel": 0, "ignored": NOT_SCORED if classes == 14 else ()},
        "classes": [
            {"name": name, "colour": colour, "stored": number}
            for number, (name, colour) in enumerate(CLASSES)
            if classes == 23 or number not in NOT_SCORED
        ],
        "splits": {split: {"keys": sum(found.values(), ())} for split, found in kept.items()},
        "domains": {t: sum((found.get(t, ()) for found in kept.values()), ()) for t in sorted(times)},
    }
    dataset = Dataset(parse_spec(settings, base=Path(root), where=str(root)))
    _expect_all({key for found in kept.values() for keys in found.values() for key in keys}, dataset)
    return dataset


SENSOR = {
    "name": "shift-front",
    "geometry": "perspective",
    "rgb": ["red", "green", "blue"],
    "bands": [
        {"name": "red", "scale": 1 / 255},
        {"name": "green", "scale": 1 / 255},
        {"name": "blue", "scale": 1 / 255},
        {"name": "depth", "unit": "log(1 + m)", "valid_range": (0.0, log1p(FARTHEST_M))},
    ],
}


def read_index(path: Path) -> Index:
    """Lines such as `imgRGB/0003-17fb/00000000_img_front.jpg,night`; blank lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            key, time = _parse(line, f"{path}, line {number}")
            found.setdefault(time, []).append(key)
    if not found:
        raise InputError(f"{path} lists no image. It needs lines such as imgRGB/SEQ/FRAME_img_front.jpg,night.")
    return {time: tuple(keys) for time, keys in found.items()}


def _parse(line: str, where: str) -> tuple[str, str]:
    name, comma, time = line.rpartition(",")
    if not comma or not time.strip():
        raise InputError(f"{where}: {line.strip()!r} has no time of day. Write it behind a comma: image.jpg,night.")
    match = IMAGE.fullmatch(name.strip())
    if match is None:
        raise InputError(f"{where}: {name.strip()!r} is not SEQ/FRAME_img_front.jpg, as SHIFT names its images.")
    return f"{match['seq']}/{match['frame']}", time.strip()


def _expect_all(keys: Iterable[str], dataset: Dataset) -> None:
    """A frame that is listed and not there would silently make a smaller data set."""
    there = {item.key for items in dataset.splits.values() for item in items}
    missing = sorted(set(keys) - there)
    if missing:
        raise InputError(
            f"{len(missing)} listed frames are not under {dataset.spec.root} with both image and depth "
            f"(first: {missing[0]}). Download them, or list fewer."
        )
