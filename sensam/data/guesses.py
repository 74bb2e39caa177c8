"""What the files of a plain folder most likely hold: a sensor from band names, classes from the values of masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensam.data.polygons import SUFFIXES as POLYGON_SUFFIXES
from sensam.data.polygons import attributes
from sensam.data.raster import RasterInfo
from sensam.data.readers import describe, gdal
from sensam.errors import InputError
from sensam.sensors import load_sensor, name_key, preset_names

MOST_CLASSES = 64  # more distinct values than this are no mask
MOST_FILES = 500  # masks looked into, spread over all of them
IGNORE = 255


def guess_sensor(path: Path, name: str) -> str | dict[str, Any]:
    """A preset whose band names the file has, else the file's own bands under the names it gives them."""
    info = describe(path)
    if preset := _preset_for(info):
        return preset
    bands: list[dict[str, Any]] = []
    for band, length in zip(info.bands, info.wavelengths_nm or (None,) * len(info.bands), strict=True):
        bands.append({"name": band} if length is None else {"name": band, "wavelength_nm": length})
    return {"name": name, "every_band": {"unit": "DN"}, "bands": bands}


def _preset_for(info: RasterInfo) -> str | dict[str, Any] | None:
    """The smallest preset that knows every band name of the file, best by these very names."""
    wanted = [name_key(name) for name in info.bands]
    presets = [load_sensor(name) for name in preset_names()]
    presets.sort(key=lambda sensor: (len(sensor.bands), sensor.band_names != info.bands))
    for sensor in presets:
        owner = {key: band.name for band in sensor.bands for key in band.keys}
        if not all(key in owner for key in wanted) or any(
            band.dtype not in {None, info.dtype} for band in sensor.bands
        ):
            continue
        names = [owner[key] for key in wanted]
        return sensor.name if names == list(sensor.band_names) else {"preset": sensor.name, "bands": names}
    return None


def guess_classes(masks: Sequence[Path]) -> dict[str, Any]:
    """`classes`, and `label` where masks are not plain class numbers."""
    if masks[0].suffix.lower() in POLYGON_SUFFIXES:
        return _from_polygons(masks)
    chosen = masks if len(masks) <= MOST_FILES else masks[:: -(-len(masks) // MOST_FILES)]
    values: set[int] = set()
    palette: dict[int, str] = {}
    bands = 1
    for path in chosen:
        with gdal.opened(str(path)) as dataset:
            stored_CHW = dataset.read()
            palette = palette or _palette(dataset)
        bands = len(stored_CHW)
        _refuse_fractions(stored_CHW, path)
        values |= set(np.unique(_codes(stored_CHW)).tolist())
        if len(values) > MOST_CLASSES:
            raise InputError(
                f"{path} and the masks before it hold more than {MOST_CLASSES} different values. If they are images, "
                "images and masks were swapped; if not, list `classes` in a dataset.yaml."
            )
    return _from_colours(values) if bands >= 3 else _from_numbers(values, palette)


def _refuse_fractions(stored_CHW: Any, path: Path) -> None:
    if stored_CHW.dtype.kind == "f" and not np.array_equal(stored_CHW, np.rint(stored_CHW)):
        raise InputError(f"{path} holds fractions. A mask holds whole numbers; were images and masks swapped?")


def _codes(stored_CHW: Any) -> Any:
    whole = stored_CHW.astype(np.int64)
    return (whole[0] << 16) | (whole[1] << 8) | whole[2] if len(whole) >= 3 else whole[0]


def _palette(dataset: Any) -> dict[int, str]:
    try:
        return {index: "#{:02x}{:02x}{:02x}".format(*colour[:3]) for index, colour in dataset.colormap(1).items()}
    except ValueError:  # how rasterio says that there is none
        return {}


def _from_numbers(values: set[int], palette: dict[int, str]) -> dict[str, Any]:
    if values <= {0, IGNORE} and IGNORE in values:  # painted black and white
        return {
            "classes": [{"name": "background", "stored": 0}, {"name": "foreground", "stored": IGNORE}],
            "ignore": IGNORE - 1,
        }
    numbers = sorted(value for value in values if value != IGNORE)
    counted = numbers == list(range(len(numbers)))
    classes: list[dict[str, Any]] = []
    for number in numbers:
        entry: dict[str, Any] = {"name": f"class_{number}"}
        if number in palette:
            entry["colour"] = palette[number]
        if not counted:
            entry["stored"] = number
        classes.append(entry)
    return {"classes": classes}


def _from_colours(values: set[int]) -> dict[str, Any]:
    classes = [{"name": f"class_{number}", "colour": f"#{code:06x}"} for number, code in enumerate(sorted(values))]
    return {"label": "palette", "classes": classes}


def _from_polygons(paths: Sequence[Path]) -> dict[str, Any]:
    """One text attribute becomes the class; with none, or several to choose from, every polygon is the same class."""
    found = attributes(paths[0])
    if len(found) != 1:
        label = {"codec": "polygons", "uncovered": "background"}
        return {"label": label, "classes": [{"name": "background"}, {"name": "foreground"}]}
    ((name, values),) = found.items()
    label = {"codec": "polygons", "attribute": name, "uncovered": "background"}
    return {"label": label, "classes": [{"name": "background"}, *({"name": value} for value in values)]}
