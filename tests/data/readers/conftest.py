"""Small files of every kind, written by the libraries themselves."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from affine import Affine
from numpy.typing import NDArray

WriteImage = Callable[..., Path]
ARRAY_FILES = (".npy", ".npz", ".mat", ".h5")
UTM = "EPSG:32633"
GRID = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 4_600_000.0)


def save_array(path: Path, name: str, array: NDArray[Any]) -> None:
    """One array in a file of the kind that its suffix says, under a name where the kind has names."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **{name: array})
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {name: array})
    else:
        with h5py.File(path, "w") as file:
            file[name] = array


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Bytes that Python and numpy held at most inside the block, to be asked for after it."""
    found = [0]
    tracemalloc.start()
    try:
        yield lambda: found[0]
        found[0] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def resident_bytes() -> int:
    """What the process holds in memory, GDAL's share included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.fixture
def write_image(tmp_path: Path) -> WriteImage:
    """Write bands x rows x columns with rasterio; `change` edits the open file before it is closed."""

    def write(name: str, pixels_CHW: NDArray[Any], change: Callable[[Any], None] | None = None, **profile: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        driver = {".png": "PNG", ".jpg": "JPEG", ".dat": "ENVI"}.get(path.suffix, "GTiff")
        count, height, width = pixels_CHW.shape
        georeference = {"crs": UTM, "transform": GRID} if driver == "GTiff" else {"transform": GRID}
        options = {"driver": driver, "count": count, "height": height, "width": width, "dtype": pixels_CHW.dtype}
        with rasterio.open(path, "w", **(options | georeference | profile)) as dataset:
            dataset.write(pixels_CHW)
            if change:
                change(dataset)
        return path

    return write


@pytest.fixture
def numbers() -> Callable[..., NDArray[Any]]:
    """Seeded numbers over the whole range of a type."""

    def make(dtype: str, shape: tuple[int, ...] = (3, 6, 7)) -> NDArray[Any]:
        generator = np.random.default_rng(7)
        kind = np.dtype(dtype)
        if kind.kind in "iu":
            limits = np.iinfo(kind)
            return generator.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)
        real = generator.normal(scale=100, size=shape)
        return (real + 1j * generator.normal(size=shape) if kind.kind == "c" else real).astype(kind)

    return make
