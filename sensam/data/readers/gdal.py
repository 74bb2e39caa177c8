"""Images that GDAL reads: GeoTIFF and COG, PNG, JPEG, ENVI, JPEG 2000, VRT; masks of every kind become one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import SEEK_END
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
from sensam.errors import InputError

COLOURS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}


PNG_TAIL = 4096  # bytes at the end of a PNG in which its last chunk must stand, whatever was appended to it
ALPHA = "alpha"
HEADER = ".hdr"
ENVI_DATA = ("", ".dat", ".img", ".raw", ".bin", ".bsq", ".bil", ".bip")


@dataclass(frozen=True, slots=True)
class Plane:
    """One band as we offer it, and where in the file it comes from."""

    name: str
    index: int  # GDAL's, counted from 1
    part: str = "value"  # or "real", "imag" of a complex number; "red", "green", "blue" of a palette
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
    if path.lower().endswith(".png"):
        _refuse_truncated_png(path)
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


def _refuse_truncated_png(path: str) -> None:
    # GDAL fills the missing rows of a PNG that is cut short with zeros and says nothing.
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, SEEK_END) - PNG_TAIL))
            complete = b"IEND" in file.read()
    except OSError:
        return  # not a local file, or not there: rasterio's message is the better one
    if not complete:
        raise InputError(f"{path} cannot be read (a PNG without its end). It was cut short: copy it again.")


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
    indexes = sorted({plane.index for plane in planes})
    stored = _read_indexes(dataset, indexes, area)
    shown = _shown(dataset, indexes, hiding, area)
    pixels, valid = [], []
    for plane in planes:
        numbers = _part(dataset, stored[plane.index], plane)
        there = shown.get(plane.index, np.True_) & _not_nodata(dataset, stored[plane.index], plane.index)
        pixels.append(to_float32(numbers, there, path))
        valid.append(there & np.isfinite(pixels[-1]))
    return np.stack(pixels), np.stack(valid)


def _read_indexes(dataset: Any, indexes: Sequence[int], area: GdalWindow) -> dict[int, NDArray[Any]]:
    if len({dataset.dtypes[index - 1] for index in indexes}) == 1:
        return dict(zip(indexes, dataset.read(indexes, window=area), strict=True))
    return {index: dataset.read(index, window=area) for index in indexes}


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


def _not_nodata(dataset: Any, stored_HW: NDArray[Any], index: int) -> NDArray[np.bool_]:
    nodata = dataset.nodatavals[index - 1]
    return np.ones(stored_HW.shape, bool) if nodata is None else differs_from(stored_HW, nodata)


def _shown(
    dataset: Any, indexes: Sequence[int], hiding: Sequence[int], area: GdalWindow
) -> dict[int, NDArray[np.bool_]]:
    """Where no mask band and no alpha (`hiding`) hides a pixel. GDAL lets those overrule nodata; here every one counts.

    Alpha hides only where it is exactly 0: half transparent pixels have a colour.
    """
    shown: dict[int, NDArray[np.bool_]] = {}
    for index in indexes:
        flags = set(dataset.mask_flag_enums[index - 1])
        if flags not in ({MaskFlags.all_valid}, {MaskFlags.nodata}) and MaskFlags.alpha not in flags:
            shown[index] = dataset.read_masks(index, window=area) > 0
    for alpha in hiding:
        opaque = dataset.read(alpha, window=area) > 0
        shown = {index: shown.get(index, np.True_) & opaque for index in indexes}
    return shown
