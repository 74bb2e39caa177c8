"""RGBP-Glass: glass seen in colour and polarization, 4511 images (Mei et al., CVPR 2022), with numbered panes.

`{train,test}/image/<id>_rgb.tiff`, `aolp/<id>_aolp.tiff`, `dolp/<id>_dolp.tiff` (8 bits for each colour) and
`instance_mask/<id>_instance_mask.png`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sensam.data.dataset import Dataset
from sensam.data.encoded import EncodedDataset, Whole
from sensam.data.layout import parse_spec
from sensam.data.published.listing import NO_LABEL, REGIONS
from sensam.data.raster import Raster
from sensam.sensors import Sensor

LEFT_OUT = ("20210808013065", "20210811002205")  # as the published loaders leave them out
TONES = ("red", "green", "blue")
# Of values / 255, as published with SimMAT.
COLOUR = ((0.2055, 0.1921), (0.2186, 0.2071), (0.1560, 0.1841))
AOLP = ((0.4720, 0.2820), (0.4637, 0.2833), (0.4860, 0.2594))
DOLP = ((0.1026, 0.1168), (0.1043, 0.1188), (0.1193, 0.1231))


def open_rgbp_glass(
    root: str | Path,
    modality: Literal["polarization", "rgb+polarization"] = "rgb+polarization",
    angle: Literal["double", "stored"] = "double",
) -> Dataset:
    """Polarization alone or behind colour. `stored` feeds the 8-bit angle itself, which jumps where it wraps.

    `double` gives degree, sine and cosine of twice the angle, with 256 steps taken for half a turn.
    """
    root = Path(root)
    kinds = ["rgb"] if modality == "rgb+polarization" else []
    folders = {"rgb": "image/*_rgb", "aolp": "aolp/*_aolp", "dolp": "dolp/*_dolp"}
    names = {"rgb": TONES, "aolp": [f"aolp.{t}" for t in TONES], "dolp": [f"dolp.{t}" for t in TONES]}
    pairs = {"rgb": COLOUR, "aolp": AOLP, "dolp": DOLP}
    every = {"scale": 1 / 255, "dtype": "uint8"}

    def bands(kind: str) -> list[dict[str, Any]]:
        return [
            {"name": name, "aliases": [f"rgb.{name}"] if kind == "rgb" else [], "mean": mean, "std": std, **every}
            for name, (mean, std) in zip(names[kind], pairs[kind], strict=True)
        ]

    colour = [band for kind in kinds for band in bands(kind)]
    stored = [*colour, *bands("aolp"), *bands("dolp")]
    sensor = {"name": f"rgbp-glass-{modality.replace('+', '-')}", "geometry": "perspective", "bands": stored}
    sensor |= {"rgb": list(TONES)} if kinds else {}
    settings = {
        "name": "RGBP-Glass",
        "sensor": sensor,
        "images": {kind: f"{{split}}/{folders[kind]}.tiff" for kind in (*kinds, "aolp", "dolp")},
        "masks": "{split}/instance_mask/*_instance_mask.png",
        "classes": REGIONS,
        "ignore": NO_LABEL,
        "splits": ["train", "test"],
    }
    spec = parse_spec(settings, base=root, where=str(root))
    if angle == "stored":
        return _without(Dataset(spec), LEFT_OUT)
    doubled = [{"name": f"{part}.{t}", "mean": 0.0, "std": 0.7071} for part in ("sin2aolp", "cos2aolp") for t in TONES]
    degrees = [{**band, "scale": 1.0, "dtype": None} for band in bands("dolp")]
    plain = [{**band, "scale": 1.0, "dtype": None} for band in colour]
    encoded = Sensor.from_dict({**sensor, "bands": [*plain, *degrees, *doubled]})
    return _without(EncodedDataset(spec, encoded, partial(_double_the_angle, len(colour))), LEFT_OUT)


def _double_the_angle(colours: int, raster: Raster, _: Whole) -> Raster:
    """Colour, degree, sine and cosine of twice the angle, each between its physical ends."""
    colour, stored, dolp = (slice(0, colours), slice(colours, colours + 3), slice(colours + 3, colours + 6))
    share_CHW, turn_CHW = raster.pixels_CHW / np.float32(255), raster.pixels_CHW[stored] * np.float32(2 * np.pi / 256)
    pixels = [share_CHW[colour], share_CHW[dolp], np.sin(turn_CHW), np.cos(turn_CHW)]
    valid = [raster.valid_CHW[part] for part in (colour, dolp, stored, stored)]
    names = [f"{part}.{tone}" for part in ("dolp", "sin2aolp", "cos2aolp") for tone in TONES]
    return replace(
        raster,
        pixels_CHW=np.concatenate(pixels),
        valid_CHW=np.concatenate(valid),
        bands=(*raster.bands[colour], *names),
        scaling=(),
    )


def _without(dataset: Dataset, keys: tuple[str, ...]) -> Dataset:
    for split, items in dataset.splits.items():
        dataset = dataset.with_items(split, [item for item in items if item.key not in keys])
    return dataset
