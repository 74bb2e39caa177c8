"""MATLAB files: version 5 through SciPy, version 7.3 as the HDF5 it is, both with axes as MATLAB shows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from sensam.data.readers.arrays import ArrayFile, StoredArray
from sensam.errors import InputError

COMPLEX_FIELDS = ("real", "imag")
NOT_NUMBERS = {"cell", "struct", "object", "char", "sparse", "function", "opaque", "unknown"}


@contextmanager
def opened(path: str) -> Iterator[ArrayFile]:
    """The arrays of a file. Version 5 cannot be read in part: opening it reads it whole."""
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                sets = [each for each in file.values() if isinstance(each, h5py.Dataset)]
                yield ArrayFile(path, tuple(_stored_v73(each) for each in sets))
        else:
            names = [name for name, _, kind in scipy.io.whosmat(path) if kind not in NOT_NUMBERS]
            content = scipy.io.loadmat(path, variable_names=names)
            yield ArrayFile(path, tuple(_stored_v5(name, content[name]) for name in names))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    # SciPy reports a damaged file as any of these.
    except (OSError, ValueError, TypeError, EOFError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}). If it was copied, it may be cut short.") from error


def _stored_v5(name: str, array: NDArray[Any]) -> StoredArray:
    return StoredArray(name, array.shape, array.dtype, partial(_cut, array))


def _cut(array: NDArray[Any], area: tuple[slice, ...]) -> NDArray[Any]:
    return array[area]


def _stored_v73(dataset: Any) -> StoredArray:
    dtype = np.dtype(np.complex128) if dataset.dtype.names == COMPLEX_FIELDS else dataset.dtype
    return StoredArray(dataset.name.removeprefix("/"), dataset.shape[::-1], dtype, partial(_load_v73, dataset))


def _load_v73(dataset: Any, area: tuple[slice, ...]) -> NDArray[Any]:
    """MATLAB stores columns first, so HDF5 shows the axes in reverse."""
    stored = dataset[area[::-1]]
    if stored.dtype.names == COMPLEX_FIELDS:
        stored = stored["real"] + 1j * stored["imag"]
    return np.asarray(stored.transpose())
