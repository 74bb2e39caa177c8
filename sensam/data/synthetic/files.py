"""Generated scenes as a data set on disk: GeoTIFFs, masks, and the dataset.yaml that explains them."""

import csv
import shutil
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from sensam.data.synthetic.scene import IGNORE, Family, Scene, Size
from sensam.errors import InputError, SettingsError, unknown
from sensam.sensors import Band, Sensor

Storage = Literal["float32", "uint16"]
LARGEST_UINT16 = 65535
TILED_FROM = 512  # pixels; larger images are written in blocks, so that a window reads only what it needs


def write(
    family: Family,
    folder: str | Path,
    *,
    seed: int,
    counts: Mapping[str, int],
    size: Size,
    domain: str | None = None,
    unlabelled: Collection[str] = (),
    dtype: Storage = "float32",
) -> Path:
    """Write `counts` scenes per split and return the dataset.yaml; splits in `unlabelled` get no masks.

    float32 holds physical values and NaN where there is none. uint16 holds (value - offset) / scale with 0 for
    none; scale and offset stand in the files and in the dataset.yaml. The folder appears only when it is complete.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not empty. Choose another folder, or remove it first.")
    if dtype not in get_args(Storage):
        raise unknown("way of storing pixels", dtype, get_args(Storage))
    if not counts or min(counts.values()) < 1:
        raise SettingsError(f"Every split needs at least one scene, found {dict(counts)}.")
    strangers = set(unlabelled) - set(counts)
    if strangers:
        raise SettingsError(f"unlabelled names {sorted(strangers)}, but the splits are {sorted(counts)}.")
    sensor = stored_as(family.sensor_of(domain), dtype)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    rows, index = [], 0
    for split, count in counts.items():
        for _ in range(count):
            scene = family.make(seed, index, size, domain=domain)
            name = f"{sensor.name}-{index:05d}-{_slug(scene.domain)}"
            _write_scene(partial, split, name, scene, sensor, dtype, labelled=split not in unlabelled)
            rows.append({"split": split, "name": name, "domain": scene.domain, **scene.meta})
            index += 1
    _write_table(partial / "scenes.csv", rows)
    text = yaml.safe_dump(_settings(family, sensor, counts), sort_keys=False, allow_unicode=True, width=110)
    (partial / "dataset.yaml").write_text(text, encoding="utf-8")
    if target.exists():
        target.rmdir()
    partial.rename(target)
    return target / "dataset.yaml"


def stored_as(sensor: Sensor, dtype: Storage) -> Sensor:
    """The sensor as its files hold it: uint16 spreads every band's valid range over 1 to 65535, and 0 is no data."""
    if dtype == "float32":
        return sensor
    bands = []
    for band in sensor.bands:
        low, high = _range(band)
        step = (high - low) / (LARGEST_UINT16 - 1)
        magnitude = 10.0 ** np.floor(np.log10(step))
        scale = next(round_step * magnitude for round_step in (1, 2, 5, 10) if round_step * magnitude >= step)
        scale = float(f"{scale:.6g}")
        bands.append(band.model_copy(update={"scale": scale, "offset": low - scale, "nodata": 0.0, "dtype": "uint16"}))
    return sensor.model_copy(update={"bands": tuple(bands)})


def _range(band: Band) -> tuple[float, float]:
    if band.valid_range is None:
        raise SettingsError(f"{band.name} has no valid_range, which uint16 needs. Write float32 instead.")
    return band.valid_range


def _write_scene(
    folder: Path, split: str, name: str, scene: Scene, sensor: Sensor, dtype: Storage, *, labelled: bool
) -> None:
    image = folder / "images" / split / f"{name}.tif"
    image.parent.mkdir(parents=True, exist_ok=True)
    _write_image(image, scene, sensor, dtype)
    if not labelled:
        return
    mask = folder / "masks" / split / f"{name}.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    _write_png(mask, scene.label_HW)
    if scene.instances_HW is not None:
        instances = folder / "instances" / split / f"{name}.png"
        instances.parent.mkdir(parents=True, exist_ok=True)
        _write_png(instances, scene.instances_HW.astype(np.uint16))


def _write_image(path: Path, scene: Scene, sensor: Sensor, dtype: Storage) -> None:
    raster = scene.raster
    stored = _encoded(raster.pixels_CHW, raster.valid_CHW, sensor, dtype)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(sensor.bands),
        "height": raster.size[0],
        "width": raster.size[1],
        "dtype": dtype,
        "nodata": np.nan if dtype == "float32" else 0,
        "crs": raster.crs,
        "transform": raster.transform,
    }
    # Small scenes are read window by window, over and over: packed they would be a quarter smaller and read three
    # times as slowly, because a row of noise hardly packs and is unpacked whole.
    if min(raster.size) >= TILED_FROM:
        packing = {"compress": "deflate", "zlevel": 1, "predictor": 3 if dtype == "float32" else 2}
        profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, **packing}
    with _ungeoreferenced_is_fine(), rasterio.open(path, "w", **profile) as file:
        file.write(stored)
        file.descriptions = sensor.band_names
        file.units = tuple(band.unit for band in sensor.bands)
        if dtype == "uint16":
            file.scales = tuple(band.scale for band in sensor.bands)
            file.offsets = tuple(band.offset for band in sensor.bands)
        for number, band in enumerate(sensor.bands, start=1):
            if band.wavelength_nm is not None:
                file.update_tags(number, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{band.wavelength_nm / 1000:g}")


def _encoded(
    pixels_CHW: NDArray[np.float32], valid_CHW: NDArray[np.bool_], sensor: Sensor, dtype: Storage
) -> NDArray[np.float32] | NDArray[np.uint16]:
    if dtype == "float32":
        return np.where(valid_CHW, pixels_CHW, np.float32(np.nan))
    scale, offset = (np.array([getattr(band, name) for band in sensor.bands]) for name in ("scale", "offset"))
    steps = np.round((pixels_CHW - offset[:, None, None]) / scale[:, None, None])
    return np.where(valid_CHW, np.clip(steps, 1, LARGEST_UINT16), 0).astype(np.uint16)


def _write_png(path: Path, plane: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    rows, columns = plane.shape
    with (
        _ungeoreferenced_is_fine(),
        rasterio.open(path, "w", driver="PNG", count=1, height=rows, width=columns, dtype=plane.dtype) as file,
    ):
        file.write(plane, 1)


@contextmanager
def _ungeoreferenced_is_fine() -> Iterator[None]:
    """rasterio warns about every file without a place on Earth; most generated scenes have none to give."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _settings(family: Family, sensor: Sensor, counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": sensor.name,
        "sensor": sensor.model_dump(mode="json", exclude_defaults=True),
        "images": "images/{split}/*.tif",
        "masks": "masks/{split}/*.png",
        "classes": [{"name": entry.name, "colour": entry.colour} for entry in family.classes],
        "ignore": IGNORE,
        "splits": list(counts),
        "domains": {domain: [f"*-{_slug(domain)}"] for domain in family.domains},
    }


def _write_table(path: Path, rows: list[dict[str, float | str]]) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


def _slug(domain: str) -> str:
    return domain.replace("/", "-").replace(" ", "-")
