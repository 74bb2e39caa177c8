"""Files that are cut short and that GDAL reads all the same: with zeros for pixels, or without their mask."""

import struct
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO

from sensam.errors import InputError

PNG_TAIL = 4096  # bytes at the end of a PNG in which its last chunk must stand, whatever was appended to it
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
CLASSIC, BIG = 42, 43
VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def refuse_truncated(path: str) -> None:
    """An error for a local PNG without its end, or a TIFF with a directory beyond its end."""
    suffix = path.lower().rpartition(".")[2]
    if suffix not in {"png", "tif", "tiff"}:
        return
    try:
        with Path(path).open("rb") as file:
            complete = _png_ends(file) if suffix == "png" else _tiff_directories_lie_inside(file)
    except OSError:
        return  # not a local file, or not there: rasterio's message is the better one
    if not complete:
        raise InputError(f"{path} cannot be read (its end is missing). It was cut short: copy it again.")


def _png_ends(file: BinaryIO) -> bool:
    file.seek(max(0, file.seek(0, SEEK_END) - PNG_TAIL))
    return b"IEND" in file.read()


def _tiff_directories_lie_inside(file: BinaryIO) -> bool:
    """Follow the chain of directories (image, mask, overviews), and what their entries point to."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    order = BYTE_ORDERS.get(file.read(2))
    kind = struct.unpack(f"{order}H", file.read(2).ljust(2, b"\0"))[0] if order else None
    if kind not in (CLASSIC, BIG):
        return True  # no TIFF: GDAL says so itself
    number, count_format, entry_bytes = ("I", "H", 12) if kind == CLASSIC else ("Q", "Q", 20)
    width = struct.calcsize(f"{order}{number}")
    file.seek(width)  # the first offset follows a header of 4 or 8 bytes, as long as an offset
    seen: set[int] = set()
    offset = _read(file, f"{order}{number}")
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        count = _read(file, f"{order}{count_format}")
        entries = file.read(count * entry_bytes) if count is not None and count * entry_bytes < size else b""
        following = _read(file, f"{order}{number}")
        if count is None or len(entries) < count * entry_bytes or following is None:
            return False
        if not all(_value_lies_inside(entry, order, number, width, size) for entry in _split(entries, entry_bytes)):
            return False
        offset = following
    return offset is not None


def _read(file: BinaryIO, form: str) -> int | None:
    content = file.read(struct.calcsize(form))
    return int(struct.unpack(form, content)[0]) if len(content) == struct.calcsize(form) else None


def _split(entries: bytes, length: int) -> list[bytes]:
    return [entries[start : start + length] for start in range(0, len(entries), length)]


def _value_lies_inside(entry: bytes, order: str | None, number: str, width: int, size: int) -> bool:
    _, kind, count, value = struct.unpack(f"{order}HH{number}{number}", entry)
    length = VALUE_BYTES.get(kind, 1) * count
    return length <= width or value + length <= size
