"""A scene brought to another resolution while it is read, so that a model sees the pixels it was trained on."""

import math
from contextlib import suppress
from typing import Any, Literal
from uuid import uuid4

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from sensam.data.native import ARRAY_SUFFIXES
from sensam.errors import InputError, SettingsError
from sensam.infer.ground import metres_of_pixel
from sensam.infer.locate import Located
from sensam.infer.scene import open_quietly
from sensam.infer.segmenter import Segmenter

Resolution = float | Literal["trained"]  # in the units of the scene's coordinate system, or what the model has seen
MOST_PIXELS = 2**31 - 1  # on a side, of GDAL
SAME = 0.01  # share by which a resolution may differ and still be the wanted one


def regrid(source: Located, resolution: Resolution, model: Segmenter) -> Located:
    """The same files at a resolution, or at the one that the model was trained at; unchanged where it is theirs."""
    if resolution != "trained":
        return on_grid(source, resolution)
    first = source if isinstance(source, str) else next(iter(source.values()))
    own, share = _compared(first, trained_resolution(model))
    if isinstance(source, str) and abs(share - 1) <= SAME:
        return source
    return on_grid(source, own * (1 if abs(share - 1) <= SAME else share))


def trained_resolution(model: Segmenter) -> float:
    """Metres of ground that a pixel covered when the model was trained."""
    if model.resolution is None:
        raise SettingsError(
            f"{model.name} does not say at what resolution it was trained. Give it, as in --resample 10."
        )
    return model.resolution


def _compared(path: str, metres: float) -> tuple[float, float]:
    """The size of a pixel in the scene's own units, and how many times larger one of so many metres is."""
    with _opened(path) as dataset:
        _refuse_unplaced(path, dataset)
        on_ground = metres_of_pixel(dataset.crs, dataset.transform, dataset.height, dataset.width)
        if on_ground is None:
            raise InputError(
                f"{path} lies in a coordinate system from which metres on the ground cannot be told. "
                "Give the size of a pixel in its own units, as in --resample 10."
            )
        return math.sqrt(abs(dataset.transform.determinant)), metres / on_ground


def on_grid(source: Located, resolution: float) -> Located:
    """The same files on a grid of square pixels of this size, in the first one's coordinates: averaged where that is
    coarser, interpolated where it is finer. Files of different resolutions come to lie on one grid.
    """
    if not 0 < resolution < math.inf:
        raise SettingsError(f"A resolution of {resolution:g} makes no sense. Give the size of a pixel, such as 10.")
    paths = [source] if isinstance(source, str) else list(source.values())
    grid = _grid(paths[0], resolution)
    changed = {path: _warped(path, grid, resolution) for path in paths}
    return changed[source] if isinstance(source, str) else {label: changed[path] for label, path in source.items()}


Grid = tuple[Any, Affine, int, int]  # coordinate system, transform, rows, columns


def _grid(path: str, resolution: float) -> Grid:
    with _opened(path) as dataset:
        _refuse_unplaced(path, dataset)
        left, bottom, right, top = dataset.bounds
        wide, high = (right - left) / resolution, (top - bottom) / resolution
        if max(wide, high) < 1:
            raise SettingsError(
                f"A pixel of {resolution:g} is larger than all of {path}, {right - left:g} by {top - bottom:g} in the "
                "same units. Give a smaller one."
            )
        if max(wide, high) > MOST_PIXELS:
            raise SettingsError(
                f"Pixels of {resolution:g} would be {max(wide, high):.3g} on a side of {path}, more than a file can "
                "hold. Give a larger one."
            )
        columns, rows = max(1, round(wide)), max(1, round(high))
        return dataset.crs, Affine(resolution, 0, left, 0, -resolution, top), rows, columns


def _refuse_unplaced(path: str, dataset: Any) -> None:
    if dataset.crs is None:
        raise InputError(f"{path} has no coordinate system, so its resolution is not known. Leave --resample out.")


def _warped(path: str, grid: Grid, resolution: float) -> str:
    crs, transform, rows, columns = grid
    with _opened(path) as dataset:
        own = abs(dataset.transform.a) + abs(dataset.transform.b)
        how = Resampling.average if resolution > own * (1 + SAME) else Resampling.bilinear
        options = {"crs": crs, "transform": transform, "width": columns, "height": rows, "resampling": how}
        if dataset.nodata is not None:
            options |= {"src_nodata": dataset.nodata, "nodata": dataset.nodata}
        made = f"/vsimem/{uuid4().hex}.vrt"
        with WarpedVRT(dataset, **options) as warped:
            rasterio.shutil.copy(warped, made, driver="VRT")
    _keep_facts(path, made)
    return made


def _keep_facts(path: str, made: str) -> None:
    """Names, units and packing of bands, which warping leaves behind."""
    with _opened(path) as dataset, rasterio.open(made, "r+") as warped:
        warped.scales, warped.offsets = dataset.scales, dataset.offsets
        warped.units = [unit or "" for unit in dataset.units]
        for index in dataset.indexes:
            if dataset.descriptions[index - 1]:
                warped.set_band_description(index, dataset.descriptions[index - 1])
            warped.update_tags(index, **dataset.tags(index))


def _opened(path: str) -> Any:
    if path.lower().endswith(tuple(ARRAY_SUFFIXES)):
        raise InputError(
            f"{path} holds arrays, which are not resampled. Convert it to a GeoTIFF, or leave --resample out."
        )
    try:
        return open_quietly(path)
    except RasterioError as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error


def forget(source: Located) -> None:
    """Let go of what `regrid` made."""
    for path in [source] if isinstance(source, str) else source.values():
        if path.startswith("/vsimem/"):
            with suppress(RasterioError):
                rasterio.shutil.delete(path)
