"""WHU-OPT-SAR: 100 scenes of Hubei at 5 m, four optical bands and Gaofen-3 radar (Li et al., JAG 106, 2022).

`optical/<sheet>.tif`, `sar/<sheet>.tif` and `lbl/<sheet>.tif`, 5556 x 3704 pixels; a label is ten times its class. The
authors' list, "The division of the dataset.txt", names 80 scenes under `train:` and 20 under `test:`.
"""

from pathlib import Path
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, SettingsError

Instrument = Literal["optical", "sar"]

# Aliases are what bands without a name are called beside another instrument.
BANDS: dict[Instrument, list[dict[str, Any]]] = {
    "optical": [
        {"name": name, "wavelength_nm": wavelength, "aliases": [f"optical.band_{place}"]}
        for place, (name, wavelength) in enumerate({"red": 660, "green": 555, "blue": 485, "nir": 830}.items())
    ],
    "sar": [{"name": "amplitude", "wavelength_nm": 55517121, "aliases": ["sar"]}],
}
CLASSES = (
    ("farmland", "#c8b040"),
    ("city", "#c03028"),
    ("village", "#e08060"),
    ("water", "#2f6fd0"),
    ("forest", "#2f7a3a"),
    ("road", "#f4d13d"),
    ("others", "#8d8378"),
)


def open_whu_opt_sar(
    root: str | Path, division: str | Path, instruments: tuple[Instrument, ...] = ("sar",), *, validation: int = 8
) -> Dataset:
    """Whole scenes, split as the authors' list says, with `validation` of the training scenes set apart as `val`.

    Training reads random windows of scenes: no tile of one scene is trained on while another is scored, as in the
    split of 29,400 shuffled tiles that is often used. The bands have no statistics yet: measure them on `train`.
    """
    if not instruments or set(instruments) - BANDS.keys() or len(set(instruments)) < len(instruments):
        raise SettingsError(f"Instruments of WHU-OPT-SAR are optical, sar, or both; found {instruments}.")
    listed = read_division(Path(division))
    train = listed["train"]
    if not 0 <= validation < len(train):
        raise SettingsError(f"{validation} of {len(train)} training scenes cannot be set apart for validation.")
    # Sheets are numbered along the map: the last ones lie together, and away from most others.
    kept = len(train) - validation
    splits = {"train": sorted(train)[:kept], "val": sorted(train)[kept:], "test": listed["test"]}
    settings: dict[str, Any] = {
        "name": "WHU-OPT-SAR",
        "sensor": {
            "name": f"whu-{'-'.join(instruments)}",
            "every_band": {"unit": "DN"},
            "bands": [band for instrument in instruments for band in BANDS[instrument]],
        },
        "images": {instrument: f"{instrument}/*.tif" for instrument in instruments},
        "masks": "lbl/*.tif",
        "label": {"divide": 10, "ignored": [0]},
        "classes": [{"name": name, "colour": colour, "stored": code} for code, (name, colour) in enumerate(CLASSES, 1)],
        "splits": {name: {"keys": keys} for name, keys in splits.items() if keys},
    }
    dataset = Dataset(parse_spec(settings, base=Path(root), where=str(root)))
    there = {item.key for items in dataset.splits.values() for item in items}
    missing = sorted({*train, *listed["test"]} - there)
    if missing:
        raise InputError(
            f"{len(missing)} listed scenes are not under {root} with every instrument (first: {missing[0]})."
        )
    return dataset


def read_division(path: Path) -> dict[str, tuple[str, ...]]:
    """Scenes by split: a line `train:` or `test:`, then one file name a line."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    found: dict[str, list[str]] = {"train": [], "test": []}
    split = None
    for line in filter(None, lines):
        if line.endswith(":"):
            split = line[:-1].strip().lower()
        if split not in found:
            raise InputError(f"{path}: {line!r} stands under neither `train:` nor `test:`.")
        if not line.endswith(":"):
            found[split].append(line.removesuffix(".tif"))
    both = sorted(set(found["train"]) & set(found["test"]))
    if both or not all(found.values()):
        fault = f"{both[0]} is listed in both splits" if both else "it must list scenes under `train:` and `test:`"
        raise InputError(f"{path}: {fault}.")
    return {name: tuple(scenes) for name, scenes in found.items()}
