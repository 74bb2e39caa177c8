"""Images that GDAL reads: GeoTIFF and COG, PNG, JPEG, ENVI, JPEG 2000, VRT; masks of every kind become one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as GdalWindow

from sensam.data.raster import Raster, RasterInfo, Scaling, Window, shifted
from sensam.data.readers.exact import differs_from, to_float32
from sensam.data.readers.naming import BandFacts, gdal_facts
from sensam.data.readers.selection import Bands, check_window, choose
from sensam.data.readers.stac import beside
from sensam.data.readers.truncation import refuse_truncated
from sensam.errors import InputError

COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
ALPHA, VALUE = "alpha", "value"
HEADER = ".hdr"
ENVI_DATA = ("", ".dat", ".img", ".raw", ".bin", ".bsq", ".bil", ".bip")


@dataclass(frozen=True, slots=True)
class Plane:
    """One band as we offer it, and where in the file it comes from."""

    name: str
    index: int  # GDAL's, counted from 1
    part: str = VALUE  # or "real", "imag" of a complex number; "red", "green", "blue" of a palette
    facts: BandFacts = field(default_factory=BandFacts)


def describe(path: str) -> RasterInfo:
    """Facts of one file, without reading a pixel."""
    with opened(path) as dataset:
        return _describe(dataset, path)


def read(path: str, *, bands: Bands = None, window: Window | None = None) -> Raster:
    """Stored numbers of the wanted bands inside the window, with every mask the file has."""
    with opened(path) as dataset:
        planes, extra = _planes(dataset, path)
        by_name = {plane.name: plane for plane in (*planes, *extra)}
        names = choose(bands, [plane.name for plane in planes], path, also=[plane.name for plane in extra])
        chosen = [by_name[name] for name in names]
        row, col, rows, cols = check_window(window, dataset.height, dataset.width, path)
        area = GdalWindow(col, row, cols, rows)
        hiding = [plane.index for plane in extra if plane.name == ALPHA and ALPHA not in names]
        pixels_CHW, valid_CHW = _read_planes(dataset, chosen, hiding, area, path)
        placed = dataset.crs is not None or not dataset.transform.is_identity
        return Raster(
            pixels_CHW,
            valid_CHW,
            tuple(names),
            dataset.crs,
            shifted(dataset.transform, (row, col, rows, cols)) if placed else None,
            is_decoded=False,
            scaling=tuple(_scaling(dataset, plane) for plane in chosen),
        )


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The file as a rasterio dataset; whatever GDAL says against it becomes one line that names the file."""
    refuse_truncated(path)
    try:
        with catch_warnings():
            simplefilter("ignore", NotGeoreferencedWarning)  # a photograph has no place on Earth, and needs none
            with rasterio.open(_data_file(path)) as dataset:
                yield dataset
    except RasterioError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InputError(f"{path} cannot be read ({reason}). If it was copied, it may be cut short.") from error


def _data_file(path: str) -> str:
    """ENVI pairs a header with a data file, and GDAL opens only the data file."""
    if not path.lower().endswith(HEADER):
        return path
    stem = path[: -len(HEADER)]
    for suffix in ENVI_DATA:
        if Path(stem + suffix).is_file():
            return stem + suffix
    raise InputError(
        f"{path} is an ENVI header, but there is no data file beside it (looked for {stem}.dat, .img, ...)."
    )


def _describe(dataset: Any, path: str) -> RasterInfo:
    planes, extra = _planes(dataset, path)
    placed = dataset.crs is not None or not dataset.transform.is_identity
    return RasterInfo(
        name=path,
        bands=tuple(plane.name for plane in planes),
        height=dataset.height,
        width=dataset.width,
        dtypes=tuple(dataset.dtypes[plane.index - 1] for plane in planes),
        crs=dataset.crs,
        transform=dataset.transform if placed else None,
        wavelengths_nm=tuple(plane.facts.wavelength_nm for plane in planes),
        nodata=tuple(dataset.nodatavals[plane.index - 1] for plane in planes),
        descriptions=tuple(dataset.descriptions[plane.index - 1] or "" for plane in planes),
        units=tuple(dataset.units[plane.index - 1] or "" for plane in planes),
        scaling=tuple(_scaling(dataset, plane) for plane in planes),
        has_names=any(plane.facts.name for plane in planes),
        has_alpha=any(plane.name == ALPHA for plane in extra),
    )


def _planes(dataset: Any, path: str) -> tuple[list[Plane], list[Plane]]:
    """The bands of a file, and the planes that are read only when named: alpha, and a palette's index."""
    roles = dataset.colorinterp
    if roles[0] is ColorInterp.palette and dataset.count == 1:
        return [Plane(colour, 1, colour) for colour in COLOURS.values()], [Plane("index", 1)]
    all_facts = _facts(dataset, path)
    names = _names(all_facts, roles)
    planes: list[Plane] = []
    extra: list[Plane] = []
    for index, (name, role, facts) in enumerate(zip(names, roles, all_facts, strict=True), start=1):
        if role is ColorInterp.alpha and facts.name.lower() in {"", ALPHA}:
            extra.append(Plane(ALPHA, index))  # with another name it is data: GDAL calls any fourth 8-bit band alpha
        elif dataset.dtypes[index - 1].startswith("complex"):
            planes += [Plane(f"{name}.{part}", index, part, facts) for part in ("real", "imag")]
        else:
            planes.append(Plane(name, index, facts=facts))
    return planes, extra


def _facts(dataset: Any, path: str) -> list[BandFacts]:
    stated = beside(path)
    if len(stated) == dataset.count:
        return list(stated)
    domains = [dataset.tags(index, ns="IMAGERY") for index in dataset.indexes]
    tags = [dataset.tags(index) for index in dataset.indexes]
    return [gdal_facts(*parts) for parts in zip(dataset.descriptions, tags, domains, strict=True)]


def _names(all_facts: Sequence[BandFacts], roles: Sequence[ColorInterp]) -> list[str]:
    """Names from the file, else from colours; a name that stands twice says nothing and becomes a number."""
    named = [facts.name or COLOURS.get(role, "") for facts, role in zip(all_facts, roles, strict=True)]
    return [name if name and named.count(name) == 1 else f"band_{position}" for position, name in enumerate(named)]


def _scaling(dataset: Any, plane: Plane) -> Scaling | None:
    stated = (dataset.scales[plane.index - 1], dataset.offsets[plane.index - 1])
    return None if stated == (1.0, 0.0) else stated


def _read_planes(
    dataset: Any, planes: Sequence[Plane], hiding: Sequence[int], area: GdalWindow, path: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """All planes at once where the file stores each as one number, else one by one."""
    indexes = [plane.index for plane in planes]
    is_plain = all(plane.part == VALUE for plane in planes)
    if is_plain and len({dataset.dtypes[index - 1] for index in indexes}) == 1:
        stored_CHW = dataset.read(indexes, window=area)
        valid_CHW = _valid(dataset, indexes, stored_CHW, hiding, area)
        pixels_CHW = to_float32(stored_CHW, valid_CHW, path)
        return pixels_CHW, valid_CHW & np.isfinite(pixels_CHW) if stored_CHW.dtype.kind == "f" else valid_CHW
    pixels, valid = [], []
    stored = {index: dataset.read(index, window=area) for index in set(indexes)}
    for plane in planes:
        stored_HW = stored[plane.index]
        there_HW = _valid(dataset, [plane.index], stored_HW[None], hiding, area)[0]
        numbers_HW, seen_HW = _part(dataset, stored_HW, plane.part)
        pixels.append(to_float32(numbers_HW, there_HW, path))
        valid.append(there_HW & seen_HW & np.isfinite(pixels[-1]))
    return np.stack(pixels), np.stack(valid)


def _part(dataset: Any, stored_HW: NDArray[Any], part: str) -> tuple[NDArray[Any], NDArray[np.bool_] | np.bool_]:
    """The wanted part of what is stored, and where it is to be seen: a palette may have transparent colours."""
    if part == VALUE:
        return stored_HW, np.True_
    if part in {"real", "imag"}:
        return np.asarray(getattr(stored_HW, part)), np.True_
    table = np.zeros((np.iinfo(stored_HW.dtype).max + 1, 4), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour
    colours_HW4 = table[stored_HW]
    return colours_HW4[..., list(COLOURS.values()).index(part)], colours_HW4[..., 3] > 0


def _valid(
    dataset: Any, indexes: Sequence[int], stored_CHW: NDArray[Any], hiding: Sequence[int], area: GdalWindow
) -> NDArray[np.bool_]:
    """Where a number is not nodata and no mask band or alpha (`hiding`) hides it.

    GDAL lets a mask band or alpha overrule nodata; here every one counts. Alpha hides only where it is exactly 0: half
    transparent pixels have a colour.
    """
    valid_CHW = np.ones(stored_CHW.shape, bool)
    nodata, flags = dataset.nodatavals, dataset.mask_flag_enums
    for row, index in enumerate(indexes):
        if nodata[index - 1] is not None:
            valid_CHW[row] = differs_from(stored_CHW[row], nodata[index - 1])
        kinds = set(flags[index - 1])
        if kinds not in ({MaskFlags.all_valid}, {MaskFlags.nodata}) and MaskFlags.alpha not in kinds:
            valid_CHW[row] &= dataset.read_masks(index, window=area) > 0
    for alpha in hiding:
        valid_CHW &= dataset.read(alpha, window=area) > 0
    return valid_CHW
