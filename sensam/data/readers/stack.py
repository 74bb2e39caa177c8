"""Several files as one image: bands of one scene, or instruments that look at the same ground."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from sensam.data.raster import Raster, RasterInfo, Window, shifted
from sensam.data.readers.selection import Bands, choose
from sensam.errors import InputError

SAME_GRID = 0.01  # share of a pixel by which corners of files of one scene may differ


@dataclass(frozen=True, slots=True)
class Stack:
    """Files of one image, their facts checked against each other, and where every band of the whole comes from."""

    infos: Mapping[str, RasterInfo]  # by label: the instrument, or what tells a file's name from the others
    origin: Mapping[str, tuple[str, str]]  # band of the whole -> label, band of that file

    @classmethod
    def of(cls, infos: Mapping[str, RasterInfo]) -> "Stack":
        """A stack of files that lie on one grid; an error that says how to mend it where they do not."""
        first, *others = infos.values()
        for other in others:
            _refuse_other_grid(first, other)
        offered = [(label, band) for label, info in infos.items() for band in info.bands]
        wanted = [_plain_name(label, band, infos[label]) for label, band in offered]
        names = [
            wish if wanted.count(wish) == 1 else label if len(infos[label].bands) == 1 else f"{label}.{band}"
            for wish, (label, band) in zip(wanted, offered, strict=True)
        ]
        return cls(infos, dict(zip(names, offered, strict=True)))

    def describe(self) -> RasterInfo:
        """Facts of the whole."""
        infos = list(self.infos.values())
        placed = next((info for info in infos if info.transform is not None or info.crs is not None), infos[0])
        return RasterInfo(
            name=infos[0].name if len(infos) == 1 else f"{infos[0].name} and {len(infos) - 1} more",
            bands=tuple(self.origin),
            height=infos[0].height,
            width=infos[0].width,
            dtypes=_joined(infos, "dtypes"),
            crs=placed.crs,
            transform=placed.transform,
            wavelengths_nm=_joined(infos, "wavelengths_nm"),
            nodata=_joined(infos, "nodata"),
            descriptions=_joined(infos, "descriptions"),
            units=_joined(infos, "units"),
            scaling=_joined(infos, "scaling"),
            has_names=True,
        )

    def read(self, bands: Bands, read_part: Callable[[str, Sequence[str]], Raster]) -> Raster:
        """The wanted bands, each file opened once."""
        names = choose(bands, list(self.origin), self.describe().name)
        wanted: dict[str, list[str]] = {}
        for label, band in (self.origin[name] for name in names):
            wanted.setdefault(label, []).append(band)
        parts = {label: read_part(label, part_bands) for label, part_bands in wanted.items()}
        rows = [(parts[label], wanted[label].index(band)) for label, band in (self.origin[name] for name in names)]
        placed = next((part for part in parts.values() if part.transform is not None), next(iter(parts.values())))
        return Raster(
            np.stack([part.pixels_CHW[row] for part, row in rows]),
            np.stack([part.valid_CHW[row] for part, row in rows]),
            tuple(names),
            placed.crs,
            placed.transform,
            is_decoded=False,
            scaling=tuple(part.scaling[row] for part, row in rows),
        )


def label_files(paths: Sequence[str]) -> list[str]:
    """What tells each file's name from the others: B02, B03 in T32_B02.tif, T32_B03.tif."""
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise InputError(f"{twice[0]} is given twice for one image. Give every file once.")
    stems = [PurePath(path).stem for path in paths]
    parts = [re.split(r"[_.\-\s]+", stem) for stem in stems]
    if len(paths) > 1 and len({len(part) for part in parts}) == 1:
        differing = [index for index, tokens in enumerate(zip(*parts, strict=True)) if len(set(tokens)) > 1]
        labels = ["_".join(part[index] for index in differing) for part in parts]
    else:
        labels = stems
    return labels if len(set(labels)) == len(labels) else list(paths)


def _plain_name(label: str, band: str, info: RasterInfo) -> str:
    """A band's own name where the file gives one, else what its file is called."""
    if info.has_names or band != f"band_{info.bands.index(band)}":
        return band
    return label if len(info.bands) == 1 else f"{label}.{band}"


def _joined(infos: Sequence[RasterInfo], field: str) -> tuple[Any, ...]:
    return tuple(value for info in infos for value in getattr(info, field))


def _refuse_other_grid(first: RasterInfo, other: RasterInfo) -> None:
    mend = "Bring them to one grid first: gdalbuildvrt -separate -resolution highest scene.vrt FILES"
    if first.size != other.size:
        raise InputError(
            f"{other.name} has {other.height} x {other.width} pixels, {first.name} has "
            f"{first.height} x {first.width}. {mend}"
        )
    if first.crs is not None and other.crs is not None and first.crs != other.crs:
        raise InputError(f"{other.name} is in {other.crs}, {first.name} in {first.crs}. Warp one to the other first.")
    if first.transform is not None and other.transform is not None:
        pixel = abs(first.transform.a) + abs(first.transform.b)
        far = (first.height, first.width, 1, 1)
        apart = max(
            abs(mine - its)
            for corner in ((0, 0, 1, 1), far)
            for mine, its in zip(_corner(first, corner), _corner(other, corner), strict=True)
        )
        if apart > SAME_GRID * pixel:
            raise InputError(f"{other.name} lies {apart:g} map units beside {first.name}. {mend}")


def _corner(info: RasterInfo, window: Window) -> tuple[float, float]:
    placed = shifted(info.transform, window)
    return placed.c, placed.f
