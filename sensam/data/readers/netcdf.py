"""HDF5 and NetCDF: variables as bands, with their fill values, packing, units and map projection."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from sensam.data.raster import Scaling
from sensam.data.readers.arrays import ArrayFile, StoredArray
from sensam.data.readers.naming import to_nanometres
from sensam.errors import InputError

ROWS = {"y", "yc", "row", "rows", "lat", "latitude", "line", "lines", "height", "number_of_lines"}
COLUMNS = {"x", "xc", "col", "cols", "column", "columns", "lon", "longitude", "sample", "samples", "width"}
COLUMNS |= {"pixels_per_line"}
NETCDF3 = b"CDF"
PACKING = (("scale_factor", 1.0), ("add_offset", 0.0))
EVEN = 1e-3  # share of a pixel by which coordinates may stray and still be a grid


@contextmanager
def opened(path: str, group: str | None = None) -> Iterator[ArrayFile]:
    """The variables of one group of a file, read when asked for, in the numbers they are stored in."""
    options: dict[str, Any] = {"mask_and_scale": False, "decode_times": False, "decode_coords": "all"}
    try:
        with Path(path).open("rb") as file:
            is_classic = file.read(len(NETCDF3)) == NETCDF3
        if is_classic:
            options |= {"engine": "scipy"}
        else:
            options |= {"engine": "h5netcdf", "phony_dims": "access", "group": group}
        with xarray.open_dataset(path, cache=False, **options) as dataset:
            variables = [_stored(dataset[name]) for name in dataset.data_vars]
            if not variables and not is_classic:
                raise InputError(_where_else(path, group))
            yield ArrayFile(path, tuple(variables))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    # h5py reports a damaged file as OSError, RuntimeError or KeyError; xarray a foreign one as ValueError.
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}). If it was copied, it may be cut short.") from error


def _where_else(path: str, group: str | None) -> str:
    found: list[str] = []

    def collect(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.ndim in (2, 3):
            found.append(name)

    with h5py.File(path) as file:
        file.visititems(collect)
    there = (
        f"It has {', '.join(found[:8])}: name one with key (in a dataset.yaml: variable)."
        if found
        else "It has none elsewhere."
    )
    return f"{path} holds no variable in {group or 'its root'}. {there}"


def _stored(variable: xarray.DataArray) -> StoredArray:
    attributes = variable.attrs
    lone = [dim for dim in variable.dims if variable.sizes[dim] == 1 and not _is_spatial(dim)]
    variable = variable.isel(dict.fromkeys(lone, 0)) if len(variable.dims) - len(lone) >= 2 else variable
    order = _image_order([str(dim) for dim in variable.dims])
    dims = tuple(str(dim) for dim in variable.dims) if order is None else order
    is_unsigned = variable.dtype.kind == "i" and str(attributes.get("_Unsigned", "")).lower() == "true"
    dtype = np.dtype(variable.dtype.str.replace("i", "u")) if is_unsigned else variable.dtype
    crs, transform = _place(variable)
    band_axis = variable[dims[0]] if order is not None and len(dims) == 3 else None
    return StoredArray(
        str(variable.name),
        tuple(variable.sizes[dim] for dim in dims),
        dtype,
        partial(_load, variable, dims, dtype),
        axes=None if order is None else "CHW" if len(dims) == 3 else "HW",
        nodata=_fill_values(attributes, dtype),
        scaling=_scaling(attributes),
        unit=str(attributes.get("units", "")),
        bands=_names_along(band_axis),
        wavelengths_nm=_own_wavelength(attributes) if band_axis is None else _wavelengths_along(band_axis),
        crs=crs,
        transform=transform,
    )


def _is_spatial(dim: object) -> bool:
    return str(dim).lower() in ROWS | COLUMNS


def _image_order(dims: Sequence[str]) -> tuple[str, ...] | None:
    """Bands, rows, columns where the names of the dimensions say which is which."""
    rows = [dim for dim in dims if dim.lower() in ROWS]
    columns = [dim for dim in dims if dim.lower() in COLUMNS]
    others = [dim for dim in dims if dim not in (*rows, *columns)]
    if len(rows) == len(columns) == 1 and len(others) <= 1:
        return (*others, *rows, *columns)
    return None


def _load(
    variable: xarray.DataArray, dims: tuple[str, ...], dtype: np.dtype[Any], area: tuple[slice, ...]
) -> NDArray[Any]:
    part = variable.isel(dict(zip(dims, area, strict=True))).transpose(*dims)
    return np.asarray(part.values).view(dtype) if variable.dtype.kind == "i" else np.asarray(part.values)


def _fill_values(attributes: Mapping[Any, Any], dtype: np.dtype[Any]) -> tuple[float, ...]:
    stated = [attributes[name] for name in ("_FillValue", "missing_value") if name in attributes]
    values = [np.atleast_1d(value) for value in stated]
    if dtype.kind == "u":
        values = [value.astype(dtype) if value.dtype.kind in "iu" else value for value in values]
    return tuple(float(number) for value in values if value.dtype.kind in "iuf" for number in value)


def _scaling(attributes: Mapping[Any, Any]) -> Scaling | None:
    if "scale_factor" not in attributes and "add_offset" not in attributes:
        return None
    scale, offset = (float(np.ravel(attributes.get(name, default))[0]) for name, default in PACKING)
    return None if (scale, offset) == (1.0, 0.0) else (scale, offset)


def _names_along(axis: xarray.DataArray | None) -> tuple[str, ...]:
    if axis is None or axis.dtype.kind not in "UOT":
        return ()
    return tuple(str(name) for name in axis.values)


def _wavelengths_along(axis: xarray.DataArray) -> tuple[float | None, ...]:
    unit = str(axis.attrs.get("units", ""))
    is_length = "wavelength" in str(axis.name).lower() or "wavelength" in str(axis.attrs.get("standard_name", ""))
    if axis.dtype.kind not in "iuf" or not is_length:
        return ()
    return tuple(to_nanometres(float(value), unit) for value in axis.values)


def _own_wavelength(attributes: Mapping[Any, Any]) -> tuple[float | None, ...]:
    for name in ("radiation_wavelength", "central_wavelength", "wavelength"):
        if name in attributes and np.size(attributes[name]) == 1:
            unit = attributes.get(f"{name}_unit", attributes.get(f"{name}_units", ""))
            return (to_nanometres(np.ravel(attributes[name])[0], str(unit)),)
    return ()


def _place(variable: xarray.DataArray) -> tuple[CRS | None, Affine | None]:
    """Projection from the grid mapping, or plain latitude and longitude; grid from evenly spaced coordinates."""
    axes = {str(dim).lower(): variable[dim].values for dim in variable.dims if dim in variable.coords}
    rows = next((values for name, values in axes.items() if name in ROWS), None)
    columns = next((values for name, values in axes.items() if name in COLUMNS), None)
    transform = None
    if rows is not None and columns is not None:
        top, down = _start_and_step(rows)
        left, right = _start_and_step(columns)
        if down and right:
            transform = Affine(right, 0.0, left - right / 2, 0.0, down, top - down / 2)
    for name, coordinate in variable.coords.items():
        text = coordinate.attrs.get("crs_wkt") or coordinate.attrs.get("spatial_ref")
        if text:
            try:
                return CRS.from_wkt(str(text)), transform
            except CRSError as error:
                raise ValueError(f"{name} states a projection that cannot be read") from error
    is_geographic = transform is not None and not {"lat", "latitude"}.isdisjoint(axes)
    return (CRS.from_epsg(4326) if is_geographic else None), transform


def _start_and_step(values: NDArray[Any]) -> tuple[float, float]:
    """First coordinate and spacing; spacing 0 where the coordinates are not an even grid."""
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iuf":
        return 0.0, 0.0
    start, step = float(values[0]), (float(values[-1]) - float(values[0])) / (len(values) - 1)
    grid = start + step * np.arange(len(values))
    return (start, step) if step and np.abs(values - grid).max() <= EVEN * abs(step) else (start, 0.0)
