"""Features kept on disk: half precision, a file each, whole or absent, bounded in size, shared by processes."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sensam.errors import InputError
from sensam.files import whole

_LOOK_AGAIN = 256  # writes after which to count what other processes wrote


class Shelf:
    """Tensors by name in a folder. What does not fit any more is not kept; nothing is ever thrown out."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.limit = folder.expanduser(), gigabytes * 1e9
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot keep features in {folder}: {error.strerror}. Choose another folder.") from error
        self._writes = 0
        self._held = self._count()

    def get(self, name: str) -> Tensor | None:
        """What was put there under this name, in half precision."""
        try:
            return torch.from_numpy(np.load(self._path(name), allow_pickle=False))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{self._path(name)} cannot be read ({error}). Remove {self.folder}.") from error

    def put(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor, if there is room."""
        values = tensor.detach().to("cpu", torch.float16).numpy()
        if self._held + values.nbytes > self.limit:
            return
        path = self._path(name)
        path.parent.mkdir(exist_ok=True)
        with whole(path) as unfinished:
            np.save(unfinished, values)
        self._held += values.nbytes
        self._writes += 1
        if self._writes % _LOOK_AGAIN == 0:
            self._held = self._count()

    def _path(self, name: str) -> Path:
        digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.npy"

    def _count(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*/*.npy"))
