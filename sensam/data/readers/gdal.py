"""Images that GDAL reads: GeoTIFF and COG, PNG, JPEG, ENVI, JPEG 2000, VRT; masks of every kind become one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as GdalWindow

from sensam.data.raster import Raster, RasterInfo, Scaling, Window
from sensam.data.readers.exact import differs_from, to_float32
from sensam.data.readers.selection import Bands, check_window, choose
from sensam.errors import InputError

COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}


@dataclass(frozen=True, slots=True)
class Plane:
    """One band as we offer it, and where in the file it comes from."""

    name: str
    index: int  # GDAL's, counted from 1
    part: str = "value"  # or "real", "imag" of a complex number; "red", "green", "blue" of a palette


def describe(path: str) -> RasterInfo:
    """Facts of one file, without reading a pixel."""
    with opened(path) as dataset:
        return _describe(dataset, path)


def read(path: str, *, bands: Bands = None, window: Window | None = None) -> Raster:
    """Stored numbers of the wanted bands inside the window, with every mask the file has."""
    with opened(path) as dataset:
        planes, extra = _planes(dataset)
        by_name = {plane.name: plane for plane in (*planes, *extra)}
        names = choose(bands, [plane.name for plane in planes], path, also=[plane.name for plane in extra])
        chosen = [by_name[name] for name in names]
        row, col, rows, cols = check_window(window, dataset.height, dataset.width, path)
        area = GdalWindow(col, row, cols, rows)
        pixels_CHW, valid_CHW = _read_planes(dataset, chosen, area, path)
        placed = dataset.crs is not None or not dataset.transform.is_identity
        return Raster(
            pixels_CHW,
            valid_CHW,
            tuple(names),
            dataset.crs,
            dataset.window_transform(area) if placed else None,
            is_decoded=False,
            scaling=tuple(_scaling(dataset, plane) for plane in chosen),
        )


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The file as a rasterio dataset; whatever GDAL says against it becomes one line that names the file."""
    try:
        with catch_warnings():
            simplefilter("ignore", NotGeoreferencedWarning)  # a photograph has no place on Earth, and needs none
            with rasterio.open(path) as dataset:
                yield dataset
    except RasterioError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(f"{path} cannot be read ({reason}). If it was copied, it may be cut short.") from error


def _describe(dataset: Any, path: str) -> RasterInfo:
    planes, _ = _planes(dataset)
    placed = dataset.crs is not None or not dataset.transform.is_identity
    descriptions = dataset.descriptions
    return RasterInfo(
        name=path,
        bands=tuple(plane.name for plane in planes),
        height=dataset.height,
        width=dataset.width,
        dtype=dataset.dtypes[0],
        crs=dataset.crs,
        transform=dataset.transform if placed else None,
        wavelengths_nm=tuple(None for _ in planes),
        nodata=tuple(dataset.nodatavals[plane.index - 1] for plane in planes),
        descriptions=tuple(descriptions[plane.index - 1] or "" for plane in planes),
        units=tuple(dataset.units[plane.index - 1] or "" for plane in planes),
        scaling=tuple(_scaling(dataset, plane) for plane in planes),
        has_names=all(plane.name != f"band_{position}" for position, plane in enumerate(planes)),
        has_alpha=ColorInterp.alpha in dataset.colorinterp,
    )


def _planes(dataset: Any) -> tuple[list[Plane], list[Plane]]:
    """The bands of a file, and the planes that are read only when named: alpha, and a palette's index."""
    roles = dataset.colorinterp
    if roles[0] is ColorInterp.palette and dataset.count == 1:
        return [Plane(colour, 1, colour) for colour in COLOURS.values()], [Plane("index", 1)]
    names = _names(dataset.descriptions, roles)
    planes: list[Plane] = []
    extra: list[Plane] = []
    for index, (name, role, dtype) in enumerate(zip(names, roles, dataset.dtypes, strict=True), start=1):
        if role is ColorInterp.alpha:
            extra.append(Plane("alpha", index))
        elif dtype.startswith("complex"):
            planes += [Plane(f"{name}.{part}", index, part) for part in ("real", "imag")]
        else:
            planes.append(Plane(name, index))
    return planes, extra


def _names(descriptions: Sequence[str | None], roles: Sequence[ColorInterp]) -> list[str]:
    """Names from descriptions, else from colours; a name that stands twice says nothing and becomes a number."""
    named = [
        (description or "").strip() or COLOURS.get(role, "")
        for description, role in zip(descriptions, roles, strict=True)
    ]
    return [name if name and named.count(name) == 1 else f"band_{position}" for position, name in enumerate(named)]


def _scaling(dataset: Any, plane: Plane) -> Scaling | None:
    stated = (dataset.scales[plane.index - 1], dataset.offsets[plane.index - 1])
    return None if stated == (1.0, 0.0) else stated


def _read_planes(
    dataset: Any, planes: Sequence[Plane], area: GdalWindow, path: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    indexes = sorted({plane.index for plane in planes})
    row_of = {index: row for row, index in enumerate(indexes)}
    stored = dataset.read(indexes, window=area)
    valid = _valid(dataset, indexes, stored, area, masks=all(plane.name != "alpha" for plane in planes))
    rows = [row_of[plane.index] for plane in planes]
    pixels = [to_float32(_part(dataset, stored[row], p), valid[row], path) for row, p in zip(rows, planes, strict=True)]
    pixels_CHW = np.stack(pixels)
    valid_CHW = valid[rows]
    if pixels_CHW.size and stored.dtype.kind in "fc":
        valid_CHW &= np.isfinite(pixels_CHW)
    return pixels_CHW, valid_CHW


def _part(dataset: Any, stored_HW: NDArray[Any], plane: Plane) -> NDArray[Any]:
    if plane.part == "value":
        return stored_HW
    if plane.part in {"real", "imag"}:
        return np.asarray(getattr(stored_HW, plane.part))
    table = np.zeros((256, 4), np.uint8)
    for index, colour in dataset.colormap(1).items():
        if index < len(table):
            table[index] = colour
    return np.asarray(table[stored_HW, list(COLOURS.values()).index(plane.part)])


def _valid(
    dataset: Any, indexes: Sequence[int], stored: NDArray[Any], area: GdalWindow, *, masks: bool
) -> NDArray[np.bool_]:
    """Valid where the number is not nodata and, with `masks`, where neither mask band nor alpha hides it.

    GDAL lets a mask band overrule nodata; here both count. Alpha hides only where it is exactly 0.
    """
    valid = np.ones(stored.shape, bool)
    for row, index in enumerate(indexes):
        nodata = dataset.nodatavals[index - 1]
        if nodata is not None:
            valid[row] &= differs_from(stored[row], nodata)
    if not masks:
        return valid
    flags = [set(dataset.mask_flag_enums[index - 1]) for index in indexes]
    for row, (index, kinds) in enumerate(zip(indexes, flags, strict=True)):
        if not kinds & {MaskFlags.all_valid, MaskFlags.alpha} and kinds != {MaskFlags.nodata}:
            valid[row] &= dataset.read_masks(index, window=area) > 0
    if any(MaskFlags.alpha in kinds for kinds in flags):
        alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1
        valid &= dataset.read(alpha, window=area) > 0
    return valid
