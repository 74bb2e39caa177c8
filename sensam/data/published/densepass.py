"""DensePASS: street panoramas of 400 x 2048, 2000 without labels (WildPASS2K) and 100 labelled as Cityscapes.

`leftImg8bit/train/*`, `leftImg8bit/val/<n>_.png` and `gtFine/val/<n>_labelTrainIds.png` (Ma et al., ITSC 2021). Copies
in circulation end the names differently; what stands before the endings is what belongs together.
"""

from pathlib import Path
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, SettingsError

LABELLED = 100
IMAGE_KEY = r"([^/]+?)_*(?:leftImg8bit)?\.(?:png|jpg)$"
MASK_KEY = r"([^/]+?)_*(?:gtFine_)?labelTrainIds\.png$"
CLASSES = (
    *(("road", "#804080"), ("sidewalk", "#f423e8"), ("building", "#464646"), ("wall", "#66669c")),
    *(("fence", "#be9999"), ("pole", "#999999"), ("traffic light", "#faaa1e"), ("traffic sign", "#dcdc00")),
    *(("vegetation", "#6b8e23"), ("terrain", "#98fb98"), ("sky", "#4682b4"), ("person", "#dc143c")),
    *(("rider", "#ff0000"), ("car", "#00008e"), ("truck", "#000046"), ("bus", "#003c64")),
    *(("train", "#005064"), ("motorcycle", "#0000e6"), ("bicycle", "#770b20")),
)
# Of each of the 19 classes: which of 13 it is where panoramas are learnt from SynPASS or from 13-class Cityscapes.
TO_13 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 12, 12, 255, 12, 12)
IGNORED = 255


def open_densepass(root: str | Path, classes: Literal[19, 13] = 19, *, labelled: int = LABELLED) -> Dataset:
    """Splits `train` (without labels, if the folder is there) and `test`, which has `labelled` images.

    With 13 classes a rider is a person, every vehicle but a train a car, and a train is ignored. There is no labelled
    split besides the test images: choose no weights by them.
    """
    if classes not in (19, 13):
        raise SettingsError(f"DensePASS has 19 classes, or the 13 it shares with SynPASS; found {classes}.")
    root = Path(root)
    has_train = (root / "leftImg8bit" / "train").is_dir()
    settings: dict[str, Any] = {
        "name": f"DensePASS-{classes}",
        "sensor": {"preset": "rgb", "name": "densepass", "geometry": "equirectangular"},
        "images": {"files": "leftImg8bit/{split}/*.*", "key": IMAGE_KEY},
        "masks": {"files": "gtFine/{split}/*labelTrainIds.png", "key": MASK_KEY},
        "label": {"ignored": [number for number in range(19) if classes == 13 and TO_13[number] == IGNORED]},
        "classes": _classes(classes),
        "splits": {**({"train": "train"} if has_train else {}), "test": "val"},
    }
    dataset = Dataset(parse_spec(settings, base=root, where=str(root)))
    found = len(dataset.labelled("test"))
    if found != labelled:
        raise InputError(f"{root} has {found} labelled images, DensePASS has {labelled}. Unpack it again.")
    return dataset


def _classes(count: int) -> list[dict[str, Any]]:
    """Names, colours and stored numbers: of the 13, those of the class that most pixels of it have."""
    if count == 19:
        return [{"name": name, "colour": colour} for name, colour in CLASSES]
    leading = [*range(12), 13]  # cars lead the vehicles
    stored = [[place for place, target in enumerate(TO_13) if target == number] for number in range(13)]
    return [
        {"name": CLASSES[first][0], "colour": CLASSES[first][1], "stored": numbers}
        for first, numbers in zip(leading, stored, strict=True)
    ]
