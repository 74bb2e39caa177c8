"""The folder in which a map comes into being: raw planes, what overlaps wait for, and how far each strip has come."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.files import HIDDEN, whole
from sensam.infer.products import Product
from sensam.infer.tiles import Span

PLAN = "plan.json"
SUFFIX = ".partial"
BYTE_ORDER = "LSB" if sys.byteorder == "little" else "MSB"  # of the raw planes, as GDAL calls it


class Workplace:
    """Belongs to one plan. What is left of another plan is thrown away; what is left of the same is gone on with.

    A folder of that name which no run made is somebody's own, and refused.

    Survives a killed process, not a machine that loses power: nothing is forced onto the disk.
    """

    def __init__(self, folder: Path, plan: str, size: tuple[int, int], wanted: Sequence[Product]) -> None:
        self.folder, self.size, self.products = folder, size, tuple(wanted)
        self.is_resumed = folder.is_dir() and _read_plan(folder) == plan
        self.thrown_away = ""  # in words, what another run had left here
        try:
            if not self.is_resumed:
                if folder.exists():
                    self._refuse_others()
                    self.thrown_away = _describe(folder)
                    shutil.rmtree(folder)
                folder.mkdir(parents=True)
                for product in self.products:
                    self._allocate(product)
                # Last and in one step: others who work here must never see half of it.
                with whole(folder / PLAN) as unfinished:
                    unfinished.write_text(json.dumps({"plan": plan}))
        except OSError as error:
            raise cannot_write(folder, error) from error

    def path(self, product: Product) -> Path:
        """The raw planes of a product, one after another, row by row, in this machine's byte order."""
        return self.folder / f"{product.name}.raw"

    def write(self, product: Product, rows: Span, columns: Span, planes: NDArray[Any]) -> None:
        """Put a finished block where it belongs. Writing it twice changes nothing."""
        height, width = self.size
        item = planes.itemsize
        descriptor = os.open(self.path(product), os.O_WRONLY)
        try:
            for plane, block_HW in enumerate(np.ascontiguousarray(planes)):
                first = (plane * height + rows[0]) * width + columns[0]
                if columns[1] - columns[0] == width:
                    _write_at(descriptor, block_HW.tobytes(), first * item)
                    continue
                for number, row in enumerate(block_HW):
                    _write_at(descriptor, row.tobytes(), (first + number * width) * item)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            os.close(descriptor)

    def read(self, product: Product, rows: Span) -> NDArray[Any]:
        """Whole rows of a product, planes x rows x columns."""
        height, width = self.size
        dtype = np.dtype(product.dtype)
        with self.path(product).open("rb") as file:
            parts = []
            for plane in range(len(product.planes)):
                file.seek((plane * height + rows[0]) * width * dtype.itemsize)
                parts.append(np.fromfile(file, dtype, (rows[1] - rows[0]) * width).reshape(-1, width))
        return np.stack(parts)

    def strip(self, first: int) -> "Strip":
        """The state of the strip that begins with this row of tiles."""
        return Strip(self.folder / f"strip-{first:06}")

    def clear(self) -> None:
        """The map is complete: nothing of this is needed any more.

        It goes away in one step: half a folder would be taken for a run to go on with, should this process die here.
        """
        try:
            sweep(self.folder)
            self.folder.rename(_going(self.folder))
            sweep(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _refuse_others(self) -> None:
        """A run that was killed, or found the disk full, before it wrote its plan has left planes alone."""
        if self.folder.is_dir() and not self.folder.is_symlink():
            planes = {self.path(product).name for product in self.products}
            names = [path.name for path in self.folder.iterdir()]
            if _read_plan(self.folder) or all(name in planes or name.startswith(HIDDEN) for name in names):
                return
        raise InputError(
            f"{self.folder} is in the way: a map in the making has that name, and this is none. "
            "Move it, or choose another place with -o."
        )

    def _allocate(self, product: Product) -> None:
        height, width = self.size
        length = len(product.planes) * height * width * np.dtype(product.dtype).itemsize
        descriptor = os.open(self.path(product), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, length)
        finally:
            os.close(descriptor)


class Strip:
    """How many batches of a strip of tile rows are done, and how many valid pixels they had."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        self.batches, self.valid = 0, 0
        journal = folder / "done.json"
        if journal.is_file():
            state = json.loads(journal.read_text())
            self.batches, self.valid = state["batches"], state["valid"]

    def beside(self, batches: int) -> Path:
        """What the tile after so many batches takes over from the one before; the last two are kept."""
        return self.folder / f"beside-{batches % 2}.npy"

    def advance(self, valid: int) -> None:
        """One more batch is done. Called when everything it wrote is in place."""
        batches, valid = self.batches + 1, self.valid + valid
        try:
            with whole(self.folder / "done.json") as unfinished:
                unfinished.write_text(json.dumps({"batches": batches, "valid": valid}))
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        self.batches, self.valid = batches, valid


def sweep(folder: Path) -> None:
    """Remove what a process that died while it cleared this folder has left."""
    if _going(folder).exists():
        shutil.rmtree(_going(folder))


def cannot_write(path: Path, error: OSError) -> InputError:
    """The line for a full disk, a read-only folder, a file where a folder should be."""
    reason = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else error.strerror
    mend = "Make room, then run the same again" if "full" in str(reason) else "Choose another place with -o"
    return InputError(f"{path} cannot be written ({reason}). {mend}.")


def _going(folder: Path) -> Path:
    return folder.with_name(f"{HIDDEN}{folder.name}")


def _write_at(descriptor: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written


def _describe(folder: Path) -> str:
    """What a run with another plan had done, in one line; nothing where it had done nothing."""
    done = sum(Strip(path).batches for path in folder.glob("strip-*") if path.is_dir())
    if not done:
        return ""
    steps = "1 step" if done == 1 else f"{done} steps"
    return f"threw away {steps} of an earlier run in {folder}: its model, scene or settings were others"


def _read_plan(folder: Path) -> str:
    try:
        return str(json.loads((folder / PLAN).read_text())["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
