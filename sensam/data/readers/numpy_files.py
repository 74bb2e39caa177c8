"""NPY and NPZ: a window of an .npy is mapped, never loaded whole; nothing is ever unpickled."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.data.readers.arrays import ArrayFile, StoredArray
from sensam.errors import InputError

NPY = ".npy"


@contextmanager
def opened(path: str) -> Iterator[ArrayFile]:
    """The arrays of a file, read when asked for."""
    try:
        if path.lower().endswith(NPY):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            yield ArrayFile(path, (StoredArray("", array.shape, array.dtype, partial(_cut, array)),))
        else:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(NPY)]
                yield ArrayFile(path, tuple(_member(path, archive, name) for name in names))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}). If it was copied, it may be cut short.") from error


def _cut(array: NDArray[Any], area: tuple[slice, ...]) -> NDArray[Any]:
    return np.asarray(array[area])


def _member(path: str, archive: zipfile.ZipFile, name: str) -> StoredArray:
    """One array of an archive, known by its header. A compressed array can only be read whole."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    key = Path(name).stem
    return StoredArray(key, shape, dtype, partial(_load, path, key))


def _load(path: str, key: str, area: tuple[slice, ...]) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive[key][area])
