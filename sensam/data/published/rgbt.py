"""RGB-Thermal-Glass: glass seen in colour and heat, 5551 pairs (Huo et al., IEEE TIP 2023).

`RGB_T_Glass_{train,test}_GroundTruth.csv` list `<scene>/<image>/rgb.png` and, in the second column, `mask.png` (0 or
255); beside them lies `temperature.npy`. Scenes called `noglass` have nothing to click and are left out.
"""

from pathlib import Path
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.encoded import EncodedDataset, Scaling, scale_by, scaled_band
from sensam.data.layout import parse_spec
from sensam.data.published.listing import pair_listed, read_rows
from sensam.sensors import Sensor

SPLITS = ("train", "test")
WITHOUT_GLASS = "noglass"
# Of values / 255, and of temperatures stretched to each image's own range: as published with SimMAT.
COLOUR = {"red": (0.3796, 0.2278), "green": (0.3914, 0.2330), "blue": (0.3846, 0.2352)}
OWN_RANGE = (0.3563, 0.2166)


def open_rgbt_glass(
    root: str | Path,
    modality: Literal["thermal", "rgb+thermal"] = "rgb+thermal",
    scaling: Scaling = "fixed",
) -> Dataset:
    """Heat alone or behind red, green and blue. `own range` stretches every image as the published loader does.

    `own percentiles` stretches it from its 2nd to its 98th percentile, whatever single pixels say. With `fixed`
    temperatures stay as measured: the same number means the same everywhere, and their statistics are measured on the
    training split before learning.
    """
    root = Path(root)
    with_colour = modality == "rgb+thermal"
    thermal = {"name": "thermal", "title": "temperature", **scaled_band(scaling, OWN_RANGE)}
    colours = [
        {"name": name, "scale": 1 / 255, "dtype": "uint8", "mean": mean, "std": std}
        for name, (mean, std) in COLOUR.items()
    ]
    sensor = {
        "name": "rgbt-glass" if with_colour else "t-glass",
        "geometry": "perspective",
        "rgb": list(COLOUR) if with_colour else None,
        "bands": [*(colours if with_colour else ()), thermal],
    }
    heat: dict[str, Any] = {"files": "**/temperature.npy"}
    settings = {
        "name": "RGB-Thermal-Glass",
        "sensor": sensor,
        "images": {"rgb": "**/rgb.png", "thermal": heat} if with_colour else {"thermal": heat},
        "masks": "**/mask.png",
        "label": {"divide": 255},
        "classes": [{"name": "no glass", "colour": "#35506b"}, {"name": "glass", "colour": "#56b4e9"}],
        "splits": {split: [] for split in SPLITS},
    }
    spec = parse_spec(settings, base=root, where=str(root))
    pairing = pair_listed({split: _listed(root, split, with_colour=with_colour) for split in SPLITS})
    if scaling == "fixed":
        return Dataset(spec, pairing)
    return EncodedDataset(spec, Sensor.from_dict(sensor), scale_by(scaling, {"thermal"}), pairing)


def _listed(root: Path, split: str, *, with_colour: bool) -> list[tuple[str, list[Path], Path]]:
    samples = []
    for image, mask, *_ in read_rows(root / f"RGB_T_Glass_{split}_GroundTruth.csv", encoding="gbk", least=2):
        colour = root / image  # an absolute path stays as it is
        folder = colour.parent
        if any(WITHOUT_GLASS in part.lower() for part in Path(image).parts):
            continue
        heat = folder / "temperature.npy"
        samples.append((f"{folder.parent.name}/{folder.name}", [colour, heat] if with_colour else [heat], root / mask))
    return samples
