"""What the frozen teachers say of a panorama, kept on disk: compact, by content, whole files or none."""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.errors import InputError
from sensam.files import whole
from sensam.sam.checkpoint import identify
from sensam.sam.regions import Regions

Arrays = Mapping[str, NDArray[Any]]


def default_folder() -> Path:
    """Where caches of this user lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensam" / "goodsam"


class Cache:
    """Arrays by key, one file each; nothing is held in memory. Processes may share a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, kind: str, key: str) -> dict[str, NDArray[Any]] | None:
        """What is kept under a key, or None."""
        path = self._path(kind, key)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as fault:
            raise InputError(f"{path} is damaged ({fault}). Remove it; it will be made again.") from fault

    def keep(self, kind: str, key: str, arrays: Mapping[str, Any]) -> None:
        """Write whole or not at all: a killed run leaves whole files, and goes on with them."""
        path = self._path(kind, key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as unfinished:
                np.savez_compressed(unfinished, **arrays)
        except OSError as fault:
            raise InputError(
                f"{path} cannot be written ({fault.strerror}). Choose another folder with the method's `cache`."
            ) from fault

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.npz"


def key_of(*parts: object) -> str:
    """One key for everything that decides a result."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Identity:
    """The hash of a network's weights, computed again only when they have changed."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._state: tuple[tuple[int, int], ...] = ()
        self._hash = ""

    def __str__(self) -> str:
        tensors = self._network.state_dict(keep_vars=True)
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors.values())
        if state != self._state:
            self._state, self._hash = state, identify({name: _plain(tensor) for name, tensor in tensors.items()})
        return self._hash


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().float().cpu().contiguous()


def pack_masks(windows: Sequence[Regions]) -> dict[str, NDArray[Any]]:
    """The masks of a panorama's windows as a few flat arrays, run lengths and all."""
    runs = [counts for window in windows for counts in window.runs]
    return {
        "size": np.array(windows[0].size, np.int32),
        "masks": np.array([len(window) for window in windows], np.int32),
        "lengths": np.array([len(counts) for counts in runs], np.int32),
        "counts": np.concatenate([*runs, np.zeros(0, np.int64)]).astype(np.uint32),
        "boxes": np.concatenate([window.boxes_N4 for window in windows]).astype(np.int32),
        "scores": np.concatenate([window.scores_N for window in windows]).astype(np.float32),
        "stability": np.concatenate([window.stability_N for window in windows]).astype(np.float32),
        "points": np.concatenate([window.points_N2 for window in windows]).astype(np.float32),
    }


def unpack_masks(arrays: Arrays) -> tuple[Regions, ...]:
    """The windows' masks from what `pack_masks` made."""
    size = (int(arrays["size"][0]), int(arrays["size"][1]))
    ends = np.cumsum(arrays["lengths"])
    runs = np.split(arrays["counts"].astype(np.int64), ends[:-1]) if len(ends) else []
    windows, first = [], 0
    for count in arrays["masks"].tolist():
        part = slice(first, first + count)
        boxes_N4 = arrays["boxes"][part].astype(np.int64)
        windows.append(
            Regions(
                *(size, tuple(runs[part]), boxes_N4),
                *(arrays["scores"][part], arrays["stability"][part], arrays["points"][part]),
            )
        )
        first += count
    return tuple(windows)


LEVELS = 255  # of a probability on disk; whatever is used has been through it, so that the first time is no exception


def pack_ensemble(prob_CHW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities in one byte each."""
    return np.round(prob_CHW * LEVELS).astype(np.uint8)


def unpack_ensemble(bytes_CHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities that sum to 1 again."""
    prob_CHW = bytes_CHW.astype(np.float32)
    return prob_CHW / np.maximum(prob_CHW.sum(0, keepdims=True), 1)
