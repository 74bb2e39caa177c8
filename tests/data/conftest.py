"""Tiny data sets, written as a user would have them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine


def write_image(path: Path, pixels_CHW: NDArray[Any], **profile: Any) -> Path:
    """A GeoTIFF, PNG or JPEG by its suffix; `names` become band descriptions."""
    names = profile.pop("names", None)
    palette = profile.pop("palette", None)
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = pixels_CHW.shape
    driver = {".tif": "GTiff", ".png": "PNG", ".jpg": "JPEG"}[path.suffix]
    facts = {"driver": driver, "count": bands, "height": height, "width": width, "dtype": pixels_CHW.dtype.name}
    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **facts, **profile) as file:
            file.write(pixels_CHW)
            if names:
                file.descriptions = names
            if palette:
                file.write_colormap(1, palette)
    return path


@dataclass(frozen=True)
class SmallSet:
    """A data set on disk, and the settings its dataset.yaml was written from."""

    folder: Path
    settings: dict[str, Any]

    @property
    def yaml(self) -> Path:
        path = self.folder / "dataset.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return path


def stripes(seed: int, size: int, classes: int) -> NDArray[np.uint8]:
    """A label with every class in it."""
    offset = np.random.default_rng(seed).integers(0, size)
    row_H = (np.arange(size) + offset) * classes // size % classes
    return np.tile(row_H[:, None], (1, size)).astype(np.uint8)


def textured(seed: int, label_HW: NDArray[Any], bands: int) -> NDArray[np.uint16]:
    """Pixels that hint at the label in every band without giving it away in one."""
    random = np.random.default_rng([seed, 7])
    noise_CHW = random.normal(1000, 200, (bands, *label_HW.shape))
    return (noise_CHW + 40 * label_HW).clip(1, 9999).astype(np.uint16)


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., SmallSet]:
    """Write georeferenced tiles in splits, side by side on the ground, two classes, two bands."""

    def make(
        splits: dict[str, int] | None = None, *, size: int = 16, bands: int = 2, classes: int = 2, folder: str = "set"
    ) -> SmallSet:
        root = tmp_path / folder
        east = 0
        for split, count in (splits or {"train": 4, "val": 2}).items():
            for number in range(count):
                place = Affine(10, 0, 500_000 + 10 * size * east, 0, -10, 5_000_000)
                label_HW = stripes(east, size, classes)
                where = {"crs": CRS.from_epsg(32633), "transform": place}
                name = f"{split}/{{}}/tile_{number}.tif"
                write_image(root / name.format("images"), textured(east, label_HW, bands), **where)
                write_image(root / name.format("masks"), label_HW[None], **where)
                east += 1
        settings = {
            "sensor": {"name": "two", "bands": [{"name": f"band_{band}", "unit": "DN"} for band in range(bands)]},
            "images": "{split}/images/*.tif",
            "masks": "{split}/masks/*.tif",
            "classes": [{"name": f"class {number}"} for number in range(classes)],
            "splits": list(splits or {"train": 4, "val": 2}),
        }
        return SmallSet(root, settings)

    return make


@pytest.fixture
def save() -> Callable[..., Path]:
    """`write_image`, for tests that build a file of their own."""
    return write_image
