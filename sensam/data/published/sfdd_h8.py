"""SFDD-H8: daytime sea fog in 16 bands of Himawari-8/9, scaled to 8 bits, with masks of fog (E2SAM, BMVC 2023).

Fine-tuning: `<root>/<split>/<id>.npy` (rows x columns x 16) beside `conn_<id>_300_sp.png`, grey, fog from one half up.
Inheritance: `<root>/<id>.npz` with the array `x`, and no mask.
"""

from pathlib import Path
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.published.statistics import STATISTICS, Statistics
from sensam.errors import InputError
from sensam.sensors import Sensor, load_sensor

SPLITS = {"train": "train_all", "test": "val_2021"}  # 1128 and 680 images of 1024 x 1024
HALF = 128  # a grey mask means fog where value / 255 >= 0.5
THREE_BANDS = ("B03", "B04", "B14")  # what this group shows, and feeds to models of three bands


def open_sfdd_h8(
    root: str | Path, stage: Literal["finetune", "inherit"] = "finetune", statistics: Statistics = "published"
) -> Dataset:
    """The data set of one stage of E2SAM: labelled splits `train` and `test`, or unlabelled images `train`.

    Bands are fed as the authors feed them, or standardised with `statistics="measured"`, in training on its split.
    """
    root = Path(root)
    if stage == "inherit":
        images: dict[str, Any] = {"files": "*.npz", "variable": "x", "axes": "HWC"}
        settings: dict[str, Any] = {"splits": {"train": "*"}}
    else:
        images = {"files": "{split}/*.npy", "axes": "HWC"}
        if _uses_npz(root):
            images = {"files": "{split}/*.npz", "variable": "x", "axes": "HWC"}
        settings = {
            "masks": "{split}/conn_*_300_sp.png",
            "label": {"divide": HALF, "stretch": "linear"},
            "classes": [{"name": "clear", "colour": "#35506b"}, {"name": "sea fog", "colour": "#ffd166"}],
            "splits": SPLITS,
        }
    named = {"name": "SFDD-H8", "sensor": ahi_uint8(statistics), "images": images}
    return Dataset(parse_spec(named | settings, base=root, where=str(root)))


def ahi_uint8(statistics: Statistics = "published") -> Sensor:
    """Himawari's bands as this data set stores them: value / 255 - 0.5, as published not normalised further."""
    every = {"scale": 1 / 255, "offset": -0.5, "valid_range": (-0.5, 0.5), **STATISTICS[statistics]}
    bands = [
        {"name": band.name, "title": band.title, "wavelength_nm": band.wavelength_nm}
        for band in load_sensor("himawari-ahi").bands
    ]
    settings = {"name": "himawari-ahi-uint8", "every_band": every, "bands": bands, "rgb": THREE_BANDS}
    return Sensor.from_dict(settings)


def _uses_npz(root: Path) -> bool:
    folders = [root / folder for folder in SPLITS.values()]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise InputError(f"{' and '.join(missing)} not found. SFDD-H8 has its labelled images in these folders.")
    return not any(path for folder in folders for path in folder.glob("*.npy"))
