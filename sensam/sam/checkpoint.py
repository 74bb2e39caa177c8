"""SAM's weights wherever they lie (hub, folder, one file, inside the package), read safely and named in one way."""

import hashlib
import json
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Size, Tensor

from sensam.errors import WeightsError
from sensam.sam.naming import PLACE_CODE, TIED_PLACE_CODE, meta_name

PUBLISHED = {"b": "facebook/sam-vit-base", "l": "facebook/sam-vit-large", "h": "facebook/sam-vit-huge"}
NANO = Path(__file__).parent / "nano" / "nano.safetensors"

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order we look for them, each also split in parts
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")

# All that torch's reader raised over tens of thousands of files damaged at random.
_UNREADABLE = (
    *(pickle.UnpicklingError, struct.error, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError),
    *(AssertionError, AttributeError),
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read: tensors as the file names them, and the config beside them if there is one."""

    source: str
    tensors: Mapping[str, Tensor]  # float32
    precision: str
    config: Mapping[str, Any] | None
    is_meta: bool  # whether the names are those of Meta's original release

    def name_of(self, ours: str) -> str:
        """What this file calls one of our weights."""
        if self.is_meta:
            return meta_name(ours)
        is_under_second_name = PLACE_CODE not in self.tensors and TIED_PLACE_CODE in self.tensors
        return TIED_PLACE_CODE if ours == PLACE_CODE and is_under_second_name else ours

    def shape(self, ours: str) -> Size:
        """The shape in the file of one of our weights; empty where it is missing."""
        name = self.name_of(ours)
        return self.tensors[name].shape if name in self.tensors else Size()


def find_checkpoint(source: str | Path) -> Checkpoint:
    """Read SAM's weights by the name of a size, from a file or folder, or from the hub."""
    name = str(source)
    if source == "nano":
        return _read_nano()
    path = Path(source).expanduser()
    if path.is_file():
        return _read_file(path, name)
    if name and path.is_dir():
        return _read_folder(path, name)
    hub_id = PUBLISHED.get(name, name)
    if isinstance(source, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id) and path.suffix not in _SUFFIXES:
        return _read_hub(hub_id)
    raise WeightsError(
        f"There is no file or folder {name!r}. Give nano, b, l or h, a hub id such as {PUBLISHED['b']}, "
        "a folder with config.json and model.safetensors, or Meta's sam_vit_b_01ec64.pth."
    )


def identify(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes and numbers: one identity for the same contiguous float32 weights in any format."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def _read_nano() -> Checkpoint:
    if not NANO.is_file():
        raise WeightsError(
            "This installation of sensam lacks its built-in teacher (sam/nano/nano.safetensors). Reinstall it."
        )
    return _read_file(NANO, "nano")


def _read_hub(hub_id: str) -> Checkpoint:
    """Download one revision, or take it from the cache, and read it like a folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        for weights in _WEIGHTS:
            stem, suffix = weights.split(".")
            folder = Path(snapshot_download(hub_id, allow_patterns=["config.json", f"{stem}*.{suffix}*"]))
            if _weight_files(folder):
                break
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{hub_id} is not in the cache and the hub cannot be reached. Download it where there is a network "
            f"(hf download {hub_id}) and give the folder, give Meta's .pth, or use the built-in nano."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise WeightsError(
            f"The hub has no model {hub_id!r} that you may read, and there is no such folder. "
            f"Check the spelling; SAM's own are {', '.join(PUBLISHED.values())}."
        ) from error
    except OSError as error:
        raise WeightsError(f"{hub_id} could not be downloaded: {_first_line(error)}") from error
    return _read_folder(folder, hub_id)


def _read_folder(folder: Path, source: str) -> Checkpoint:
    files = _weight_files(folder)
    if not files:
        raise WeightsError(
            f"{source} holds no weights: model.safetensors or pytorch_model.bin was needed. "
            "For Meta's .pth, give the file itself."
        )
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{source} holds {files[0].name} but no config.json, which says what the weights are. Put it there, "
            "or give the file itself."
        )
    return _checkpoint(source, files, _read_json(folder / "config.json"))


def _read_file(path: Path, source: str) -> Checkpoint:
    config = path.with_name("config.json")
    return _checkpoint(source, [path], _read_json(config) if config.is_file() else None)


def _weight_files(folder: Path) -> list[Path]:
    """The files that together hold the weights, in the better format if there are two."""
    for weights in _WEIGHTS:
        if (folder / weights).is_file():
            return [folder / weights]
        index = folder / f"{weights}.index.json"
        if index.is_file():
            parts = _read_json(index).get("weight_map")
            if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
                raise WeightsError(f"{index} is no index of weights: it has no weight_map from tensors to files.")
            return [folder / part for part in sorted(set(parts.values()))]
    return []


def _checkpoint(source: str, files: list[Path], config: Mapping[str, Any] | None) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    for file in files:
        part = _read_tensors(file)
        for name in tensors.keys() & part.keys():
            raise WeightsError(f"{source} holds {name} in {file.name} and again in another part. Fetch it again.")
        tensors |= part
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise WeightsError(f"{source} holds {name}, which is no tensor of finite floating-point numbers.")
    precision = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    full = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    is_meta = any(name.startswith("image_encoder.") for name in full)
    return Checkpoint(source, full, precision, config, is_meta)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # whether it reads is all that matters
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(
            f"{path} cannot be read as weights: it is damaged, incomplete, or holds more than tensors, which sensam "
            "never unpickles. Fetch it again, or save only the model's state_dict()."
        ) from error
    if isinstance(state, dict) and state and all(isinstance(tensor, Tensor) for tensor in state.values()):
        return {str(name): tensor for name, tensor in state.items()}
    entries = ", ".join(map(str, state)) if isinstance(state, dict) else ""
    found = f"a dict of {entries[:80] or 'no entries'}" if isinstance(state, dict) else f"a {type(state).__name__}"
    raise WeightsError(f"{path} holds {found}, not weights by name. Save only the model's state_dict().")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({_first_line(error)}). It may be missing, incomplete, or a "
            "pointer that git-lfs left behind; fetch it again."
        ) from error
    return tensors


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}; a table of settings was needed.")
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
