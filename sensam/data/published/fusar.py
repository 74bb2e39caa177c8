"""FUSAR-Map 1.0: 610 tiles of Gaofen-3 amplitude at 1 m with four kinds of land cover (Shi et al., JSTARS 14, 2021).

`SAR_1024/<place>_<scene>_<range>_<row>_<column>_SAR_<nnn>.tif` (8 bits) and `LAB_1024/..._Label_<nnn>.tif` (colours);
the number nnn, 001 to 610, is what belongs together.
"""

from pathlib import Path
from typing import Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, unknown

Split = Literal["published", "strict"]

TILES = range(1, 611)
TEST = range(303, 383)  # of CWSAM's authors: part of Wuhan, whose other tiles they train on
WUHAN = range(213, 383)
RUN = 10  # neighbouring numbers are neighbouring ground: runs of them go to validation together
CLASSES = (
    ("building", "#ff0000"),
    ("vegetation", "#00ff00"),
    ("water", "#0000ff"),
    ("road", "#ffff00"),
    ("background", "#000000"),  # everything else, and what nobody labelled
)
CLASS_WEIGHTS = (1.5, 1.0, 0.5, 1.9, 0.1)  # CWSAM's
NUMBER = r"_(\d{3})\.tif$"
# 8-bit amplitudes are seen as a grey photograph; mean and deviation are those of photographs over all three colours.
SENSOR = {
    "name": "gaofen3-uint8",
    "title": "Gaofen-3 amplitude, scaled to 8 bits",
    "bands": [
        {
            "name": "amplitude",
            "dtype": "uint8",
            "scale": 1 / 255,
            "mean": 0.449,
            "std": 0.226,
            "wavelength_nm": 55517121,
            "unit": "1",
        }
    ],
}


def open_fusar_map(root: str | Path, split: Split = "published", *, validation: bool = True) -> Dataset:
    """Splits `train`, `val` and `test`. Validation is a tenth of the training tiles; without it they are all `train`.

    `published` tests on 80 tiles of Wuhan and trains on the 530 others, 90 of them of Wuhan too. `strict` tests on the
    same 80 and trains on no tile of Wuhan; its other 90 are the split `beside`.
    """
    if split not in ("published", "strict"):
        raise unknown("split of FUSAR-Map", split, ("published", "strict"))
    near = WUHAN if split == "strict" else TEST
    training = [number for number in TILES if number not in near]
    held = {number for number in training if validation and number // RUN % RUN == 0}
    splits = {
        "train": [number for number in training if number not in held],
        "val": sorted(held),
        "test": list(TEST),
        "beside": [number for number in near if number not in TEST],
    }
    settings = {
        "name": "FUSAR-Map 1.0",
        "sensor": SENSOR,
        "images": {"files": "SAR_1024/*.tif", "key": NUMBER},
        "masks": {"files": "LAB_1024/*.tif", "key": NUMBER},
        "label": "palette",
        "classes": [{"name": name, "colour": colour} for name, colour in CLASSES],
        "splits": {
            name: {"keys": [f"{number:03d}" for number in numbers]} for name, numbers in splits.items() if numbers
        },
    }
    dataset = Dataset(parse_spec(settings, base=Path(root), where=str(root)))
    _expect_every_tile(dataset)
    return dataset


def _expect_every_tile(dataset: Dataset) -> None:
    """Exactly the published tiles: one that is missing would silently change a published split."""
    pairing = dataset.pairing
    there = {item.key for items in dataset.splits.values() for item in items}
    missing = [f"{number:03d}" for number in TILES if f"{number:03d}" not in there]
    if missing:
        raise InputError(f"{len(missing)} of 610 tiles are not under {dataset.spec.root} (first: {missing[0]}).")
    strangers = [*pairing.without_split, *(path.name for path in pairing.without_image)]
    if strangers:
        raise InputError(f"{strangers[0]} is no tile of FUSAR-Map 1.0, whose numbers are 001 to 610. Remove it.")
    bare = [item for items in dataset.splits.values() for item in items if item.mask is None]
    if bare:
        raise InputError(f"{bare[0].images[0].name} has no label in LAB_1024 ({len(bare)} have none).")
