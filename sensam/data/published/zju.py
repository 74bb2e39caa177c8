"""ZJU-RGBP: streets through four polarizers in colour, 394 scenes (Xiang et al., Optics Express 2021).

`{train,val}/{0,45,90,135}/<name>_<angle>°.png` and `{train,val}/label_sam/<name>.png` with numbers of regions.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from sensam.data.dataset import Dataset
from sensam.data.encoded import EncodedDataset, polarizers_to_angles, polarizers_to_stokes
from sensam.data.encodings import POLARIZERS
from sensam.data.layout import parse_spec
from sensam.data.published.listing import NO_LABEL, REGIONS
from sensam.errors import unknown
from sensam.sensors import Sensor

TONES = ("red", "green", "blue")
Encoding = Literal["stokes", "weighted", "double", "folded"]
PLANES: dict[Encoding, tuple[str, ...]] = {
    "stokes": ("s0", "s1", "s2"),
    "weighted": ("s0", "dolpsin2aolp", "dolpcos2aolp"),
    "double": ("s0", "dolp", "sin2aolp", "cos2aolp"),
    "folded": ("s0", "aolp", "dolp"),
}
# As published with SimMAT, for numbers of 8 bits and the folded angle.
INTENSITY = ((141.13, 139.96), (141.38, 140.58), (139.00, 141.14))
FOLDED = ((-0.0145, 0.3850), (-0.0142, 0.3825), (-0.0165, 0.3835))
DEGREE = ((0.1517, 0.1334), (0.1490, 0.1308), (0.1702, 0.1426))


def open_zju_rgbp(root: str | Path, encoding: Encoding = "weighted") -> Dataset:
    """What the four polarizers say, computed before anything is resized. `folded` is the published loader's angle.

    Its statistics are the published ones; the others' are measured on the training split before learning.
    """
    if encoding not in get_args(Encoding):
        raise unknown("encoding of ZJU-RGBP", encoding, get_args(Encoding))
    root = Path(root)
    every = {"unit": "DN", "dtype": "uint8"}
    settings: dict[str, Any] = {
        "name": "ZJU-RGBP",
        "sensor": {
            "name": "zju-polarizers",
            "geometry": "perspective",
            "every_band": every,
            "bands": [f"{angle}.{tone}" for angle in POLARIZERS for tone in TONES],
        },
        "images": {angle: f"{{split}}/{angle}/*_{angle}°.png" for angle in POLARIZERS},
        "masks": "{split}/label_sam/*.png",
        "classes": REGIONS,
        "ignore": NO_LABEL,
        "splits": ["train", "val"],
    }
    spec = parse_spec(settings, base=root, where=str(root))
    names = [f"{plane}.{tone}" for plane in PLANES[encoding] for tone in TONES]
    bands: list[dict[str, Any]] = [{"name": name} for name in names]
    if encoding == "folded":
        known = (*INTENSITY, *FOLDED, *DEGREE)
        bands = [{"name": n, "mean": mean, "std": std} for n, (mean, std) in zip(names, known, strict=True)]
    shown = [f"s0.{tone}" for tone in TONES]
    sensor = Sensor.from_dict({"name": f"zju-{encoding}", "geometry": "perspective", "rgb": shown, "bands": bands})
    encode = polarizers_to_stokes if encoding == "stokes" else partial(polarizers_to_angles, encoding)
    return EncodedDataset(spec, sensor, encode)
