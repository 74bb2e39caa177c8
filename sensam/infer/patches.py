"""Connected patches of one class in a map of any size: numbered, measured, the smallest given to their neighbours."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.features import sieve
from scipy.ndimage import label

from sensam.infer.products import Product
from sensam.infer.tiles import Span
from sensam.infer.workplace import BYTE_ORDER, Workplace

ROWS_AT_ONCE = 512
NUMBERS = "patches.raw"  # int32, 0 where there is no data
NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches numbered from 1; what is told of number n stands at n - 1."""

    classes: NDArray[np.int64]
    areas: NDArray[np.float64]
    confidences: NDArray[np.float64]
    size: tuple[int, int]

    def numbered(self, workplace: Workplace) -> Path:
        """The map of numbers as GDAL reads it."""
        height, width = self.size
        band = (
            '<VRTRasterBand dataType="Int32" band="1" subClass="VRTRawRasterBand">'
            f'<SourceFilename relativeToVRT="1">{NUMBERS}</SourceFilename><ByteOrder>{BYTE_ORDER}</ByteOrder>'
            f"<ImageOffset>0</ImageOffset><PixelOffset>{NUMBER_BYTES}</PixelOffset>"
            f"<LineOffset>{width * NUMBER_BYTES}</LineOffset>"
            "</VRTRasterBand>"
        )
        path = workplace.folder / "patches.vrt"
        path.write_text(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{band}</VRTDataset>')
        return path


def find_patches(
    workplace: Workplace,
    classes: Product,
    confidence: Product,
    smallest: int,
    areas_of_row: Callable[[int], float | NDArray[np.float64]],
) -> Patches:
    """Two passes over the map, some rows at a time: number and join, then write the numbers and measure."""
    joined = _Joined()
    height, width = workplace.size
    with (workplace.folder / NUMBERS).open("wb") as numbers:
        above_W: NDArray[np.int32] | None = None
        for rows in _slices(height):
            class_HW = _sieved(workplace, classes, rows, smallest)
            number_HW = _numbered(class_HW, classes.nodata, joined)
            if above_W is not None:
                joined.join_rows(above_W, number_HW[0])
            above_W = number_HW[-1].copy()
            number_HW.tofile(numbers)
    final = joined.settle()
    count = int(final.max(initial=0))
    pixels, areas, sure = (np.zeros(count + 1) for _ in range(3))
    path = workplace.folder / NUMBERS
    with path.open("r+b") as numbers:
        for rows in _slices(height):
            numbers.seek(rows[0] * width * NUMBER_BYTES)
            number_HW = final[np.fromfile(numbers, np.int32, (rows[1] - rows[0]) * width)].reshape(-1, width)
            numbers.seek(rows[0] * width * NUMBER_BYTES)
            number_HW.tofile(numbers)
            sure_HW = workplace.read(confidence, rows)[0] * confidence.scale
            pixels += np.bincount(number_HW.ravel(), minlength=count + 1)
            sure += np.bincount(number_HW.ravel(), sure_HW.ravel(), count + 1)
            areas_HW = np.stack([np.broadcast_to(areas_of_row(row), width) for row in range(*rows)])
            areas += np.bincount(number_HW.ravel(), areas_HW.ravel(), count + 1)
    found = np.zeros(count + 1, np.int64)
    found[final[1:]] = np.array(joined.classes[1:], np.int64)
    return Patches(found[1:], areas[1:], sure[1:] / np.maximum(pixels[1:], 1), workplace.size)


class _Joined:
    """Numbers that turn out to be one patch, each with its class; a forest in which every tree is a patch."""

    def __init__(self) -> None:
        self.parent = [0]
        self.classes = [0]

    def add(self, class_number: int, count: int) -> int:
        """New numbers of a class; the first of them."""
        first = len(self.parent)
        self.parent += range(first, first + count)
        self.classes += [class_number] * count
        return first

    def root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def join_rows(self, above_W: NDArray[np.int32], below_W: NDArray[np.int32]) -> None:
        """Numbers that touch across two rows and are of one class."""
        classes = np.array(self.classes)
        touching = (above_W > 0) & (below_W > 0) & (classes[above_W] == classes[below_W])
        for upper, lower in np.unique(np.stack([above_W[touching], below_W[touching]], 1), axis=0).tolist():
            a, b = self.root(upper), self.root(lower)
            self.parent[max(a, b)] = min(a, b)

    def settle(self) -> NDArray[np.int32]:
        """The final number of every number, without holes."""
        roots = np.array([self.root(number) for number in range(len(self.parent))])
        _, final = np.unique(roots, return_inverse=True)  # 0 is its own root and comes first
        return final.astype(np.int32)


def _slices(height: int) -> Iterator[Span]:
    return ((row, min(height, row + ROWS_AT_ONCE)) for row in range(0, height, ROWS_AT_ONCE))


def _sieved(workplace: Workplace, classes: Product, rows: Span, smallest: int) -> NDArray[np.int32]:
    """Some rows of the map; patches that are too small belong to a neighbour.

    Such a patch reaches less far than it has pixels, so that many rows more show it whole, whichever slice it meets.
    """
    height = workplace.size[0]
    top, bottom = max(0, rows[0] - smallest), min(height, rows[1] + smallest)
    class_HW = workplace.read(classes, (top, bottom))[0]
    if smallest > 1:
        there_HW = class_HW != classes.nodata
        class_HW = np.where(there_HW, sieve(class_HW, smallest, mask=there_HW, connectivity=4), class_HW)
    kept: NDArray[np.int32] = class_HW[rows[0] - top : rows[1] - top].astype(np.int32)
    return kept


def _numbered(class_HW: NDArray[np.int32], nodata: int, joined: _Joined) -> NDArray[np.int32]:
    number_HW = np.zeros(class_HW.shape, np.int32)
    for class_number in np.unique(class_HW).tolist():
        if class_number == nodata:
            continue
        here_HW, count = label(class_HW == class_number, output=np.int32)
        first = joined.add(class_number, count)
        number_HW += np.where(here_HW > 0, here_HW + (first - 1), 0).astype(np.int32)
    return number_HW
