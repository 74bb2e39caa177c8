"""AIR-PolSAR-Seg: a Gaofen-3 scene in four polarizations at 8 m, 500 tiles, six classes (Wang et al., JSTARS 15, 2022).

`{train,test}_set/images/{HH,HV,VH,VV}/{train,test}_<id>_<polarization>.tiff` (amplitudes in 16 bits) and
`{train,test}_set/labels/{train,test}_<id>_gt.png` (colours; black is no data).
"""

from pathlib import Path
from typing import Any

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.stretch import Stretch
from sensam.errors import InputError

POLARIZATIONS = ("HH", "HV", "VH", "VV")
CLASSES = (
    ("industrial area", "#0000ff"),
    ("natural area", "#00ff00"),
    ("land use area", "#ff0000"),
    ("water area", "#00ffff"),
    ("other area", "#ffffff"),
    ("housing area", "#ffff00"),
)
NO_DATA = "#000000"

# An estimate from five other tiles of this satellite: amplitudes around 38 dB, 98 of 100 between 24 and 52. Give your
# own where the data set's numbers differ; echoes stay distinct up to 60.
STRETCH = Stretch(measured="amplitude", shown="db", limits=(20.0, 60.0))
CENTRE, SPREAD = 0.45, 0.15  # of amplitudes so stretched


def open_air_polsar_seg(
    root: str | Path,
    *,
    stretch: Stretch = STRETCH,
    validation: int = 10,
    centre: float = CENTRE,
    spread: float = SPREAD,
) -> Dataset:
    """The published `train` and `test`; every `validation`-th training tile is `val` instead (0: none).

    All tiles are cut from one scene: a good score says little about another one. `centre` and `spread` normalise the
    stretched numbers; give those of your own stretch with it.
    """
    bands = [{"name": name, "mean": centre, "std": spread} for name in POLARIZATIONS]
    settings: dict[str, Any] = {
        "name": "AIR-PolSAR-Seg",
        "sensor": {"name": "gaofen3-quadpol-stretched", "every_band": {"wavelength_nm": 55517121}, "bands": bands},
        "images": {
            name: {"files": f"{{split}}_set/images/{name}/{{split}}_*_{name}.tiff", "stretch": stretch}
            for name in POLARIZATIONS
        },
        "masks": "{split}_set/labels/{split}_*_gt.png",
        "label": {"codec": "palette", "ignored": [NO_DATA]},
        "classes": [{"name": name, "colour": colour} for name, colour in CLASSES],
    }

    def opened(splits: dict[str, Any]) -> Dataset:
        return Dataset(parse_spec(settings | {"splits": splits}, base=Path(root), where=str(root)))

    dataset = opened({"train": {"folder": "train"}, "test": {"folder": "test"}})
    if dataset.pairing.incomplete:
        key, lacking = next(iter(dataset.pairing.incomplete.items()))
        raise InputError(f"Tile {key} under {root} lacks {', '.join(lacking)}.")
    if not validation:
        return dataset
    keys = sorted((item.key for item in dataset.items("train")), key=_by_number)
    held = keys[::validation]
    kept = [key for key in keys if key not in set(held)]
    parts = {"train": {"folder": "train", "keys": kept}, "val": {"folder": "train", "keys": held}}
    return opened({**parts, "test": {"folder": "test"}})


def _by_number(key: str) -> tuple[int, str]:
    return (int(key) if key.isdigit() else -1, key)
