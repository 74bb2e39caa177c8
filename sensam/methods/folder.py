"""A model on disk: config.json says what it is, model.safetensors holds what was trained; read back strictly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from torch import Tensor

from sensam.config import validate
from sensam.errors import WeightsError
from sensam.files import together, write_tensors
from sensam.sam.anatomy import Anatomy

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class _Base(BaseModel):
    source: str | None
    identity: str | None
    anatomy: Anatomy
    is_needed: bool


class _Config(BaseModel):
    """What a config.json must say; more may stand there."""

    method: str
    settings: dict[str, Any]
    stages: list[str]
    sensor: dict[str, Any]
    classes: list[str]
    colours: list[tuple[int, int, int]]
    ignore: int
    size: int
    seed: int
    base: _Base


@dataclass(frozen=True)
class ModelFolder:
    """What a model folder holds, checked for being readable, not yet for fitting anything."""

    source: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def write_model(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write both files; what was there before stays until both are complete."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    broken = [name for name, tensor in kept.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{broken[0]} holds NaN or infinite numbers; such a model is not saved. Lower the rate.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with together(folder, WEIGHTS, CONFIG) as unfinished:
            write_tensors(unfinished / WEIGHTS, kept)
            text = json.dumps({"format": FORMAT, **config}, indent=2) + "\n"
            (unfinished / CONFIG).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written: {error}. Choose another folder.") from error


def read_model(source: str | Path) -> ModelFolder:
    """A model folder, the run folder around it, or a model on the hub."""
    folder = find_model(source)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / CONFIG} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict) or "method" not in config:
        raise WeightsError(f"{folder} holds no model of sensam: its config.json names no method. Load SAM by load_sam.")
    if config.get("format") != FORMAT:
        raise WeightsError(
            f"{folder} is in format {config.get('format')} (sensam {config.get('sensam')}); this sensam reads "
            f"format {FORMAT}. Install the sensam that wrote it."
        )
    validate(_Config, config, where=str(folder / CONFIG))
    return ModelFolder(str(source), config, _read_weights(folder / WEIGHTS))


def is_model(source: str | Path) -> bool:
    """Whether a folder on this machine, or the model folder in it, holds a model of sensam."""
    path = Path(source).expanduser()
    for config in (path / CONFIG, path / "model" / CONFIG):
        try:
            values = json.loads(config.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or of no kind that a model has
            continue
        if isinstance(values, dict) and "method" in values:
            return True
    return False


def find_model(source: str | Path) -> Path:
    """Where the two files lie on this machine; a hub id is downloaded, or taken from the cache."""
    path = Path(source).expanduser()
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    name = str(source)
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/")):
        raise WeightsError(
            f"{source} holds no model: {CONFIG} and {WEIGHTS} were needed. Give the model folder of a finished run "
            "(runs/NAME or runs/NAME/model), or a hub id."
        )
    return _download(name)


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=[CONFIG, WEIGHTS]))
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{hub_id} is neither a folder nor in the cache, and the hub cannot be reached. Give a folder."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise WeightsError(f"There is no folder {hub_id!r}, and no such model on the hub that you may read.") from error
    except OSError as error:
        raise WeightsError(f"{hub_id} could not be downloaded: {str(error).splitlines()[0]}") from error


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read ({error}). It may be incomplete; copy it again.") from error
    return weights


def describe_difference(source: str, found: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> str | None:
    """Which weights are missing, not expected, or of another shape; None where all fit."""
    missing = sorted(needed.keys() - found.keys())
    extra = sorted(found.keys() - needed.keys())
    misshapen = [
        f"{name} {_product(found[name])} instead of {_product(needed[name])}"
        for name in sorted(needed.keys() & found.keys())
        if found[name].shape != needed[name].shape
    ]
    parts = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("not expected", extra), ("of another shape", misshapen))
        if names
    ]
    return f"{source} does not fit its method: {'; '.join(parts)}. Nothing was loaded." if parts else None


def _product(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"
