"""Files that are written whole or not at all: made in a hidden folder beside their place, then moved there."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = ".unfinished-"  # how the names of such folders begin


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what shall become `path` at the end of the block; an error leaves what was there before.

    The name stays the same, because writers look at endings and some keep the name. Whoever writes the same file at
    the same time does so elsewhere.
    """
    with together(path.parent, path.name) as unfinished:
        yield unfinished / path.name


@contextmanager
def together(folder: Path, *names: str) -> Iterator[Path]:
    """A hidden folder for files that belong together; at the end of the block they move to `folder` in this order."""
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=folder))
    except OSError as error:
        error.filename = str(folder / names[0]) if names else str(folder)  # not a name that nobody has given
        raise
    try:
        yield unfinished
        for name in names:
            (unfinished / name).replace(folder / name)
    except OSError as error:
        if error.filename is not None and Path(str(error.filename)).parent == unfinished:
            error.filename, error.filename2 = str(folder / Path(error.filename).name), None
        elif error.filename is None and names and error.errno in (errno.ENOSPC, errno.EDQUOT):
            error.filename = str(folder / names[0])  # a full disk is told without a name
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def try_place(path: Path) -> None:
    """Fail before the work as writing this file would fail after it; nothing is left there."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder, and a file is to be written", str(path))
    with together(next(folder for folder in path.parents if folder.exists())):
        pass


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    """A safetensors file, on the disk when this returns, so that another file may name it.

    Those may read it who may read any other new file; safetensors asks for the owner alone.
    """
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, metadata={"format": "pt"})
    path.chmod(mode)
    with path.open("r+b") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: of a file that was moved there, a power cut may take the name alone."""
    with suppress(OSError):  # Windows opens no folder, and some network drives do not sync one
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
