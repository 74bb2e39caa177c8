"""The folder of a run: may one begin or go on there, by the same settings and from the same data."""

import json
from collections.abc import Iterable, Mapping
from math import isclose
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from sensam.config import RunSettings, read_settings, validate, write_settings
from sensam.data.dataset import Dataset
from sensam.data.layout import FILE_NAME
from sensam.data.pairing import Item
from sensam.errors import InputError, SettingsError
from sensam.files import write_text
from sensam.train.checkpoint import Checkpoints

DATA = "data.json"  # beside the checkpoints, whose weights mean nothing to other data
WRITTEN = ("checkpoints", "log.csv", "metrics.json", "model", "report.html")  # beside run.yaml, in the end
NOTHING = 1e-9  # what a mean of zero may come out as
ROUNDING = 1e-6  # by which statistics measured on two machines may differ


def prepare(folder: Path, settings: RunSettings, dataset: Dataset, *, resume: bool, fabric: Fabric) -> bool:
    """The run folder with its run.yaml; whether there is a checkpoint to go on from."""
    path, checkpoints = folder / "run.yaml", Checkpoints(folder / "checkpoints")
    if path.is_file():
        if not resume:
            raise InputError(f"{folder} holds a run already. Go on with it by --resume, or choose another --out.")
        _check_same(settings, path)
    else:
        check_free(folder, WRITTEN, "a run")
    is_going_on = resume and checkpoints.exists
    data = describe_data(dataset, settings)
    if is_going_on:
        _check_same_data(data, checkpoints.folder / DATA)
    fabric.barrier()
    if fabric.is_global_zero:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error}. Choose another --out.") from error
        if not is_going_on and not is_finished(folder):  # scores without a model are of no run
            (folder / "metrics.json").unlink(missing_ok=True)
        write_settings(placed(settings), path)
        write_text(checkpoints.folder / DATA, json.dumps(data, indent=1) + "\n")
    return is_going_on


def check_free(folder: Path, names: Iterable[str], purpose: str) -> None:
    """An error where what was not written by a run would be overwritten by one."""
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise InputError(
            f"{folder} holds {', '.join(there)} and is no folder of {purpose}: what is there would be overwritten. "
            "Choose another folder, or move it away."
        )


def is_finished(folder: Path) -> bool:
    """Whether the run has written its model: metrics.json comes after it."""
    return (folder / "metrics.json").is_file() and (folder / "model" / "config.json").is_file()


def describe_data(dataset: Dataset, settings: RunSettings) -> dict[str, Any]:
    """What the data are to a run: the sensor with its statistics, the classes, and which images there are."""
    sensor = dataset.sensor.to_dict()
    bands = {band.pop("name"): band for band in sensor.pop("bands")}
    names = {name for stage in settings.stages.values() for name in (stage.split, stage.val_split)}
    images = {name: _parts(dataset.items(name)) for name in sorted(names & dataset.splits.keys())}
    stored = {entry.name: entry.stored for entry in dataset.spec.classes if entry.stored}
    found = {
        "classes": dataset.classes,
        "ignore": dataset.ignore,
        "stored": stored,
        "label": dataset.spec.label.model_dump(mode="json", exclude_defaults=True),
        "bands": list(bands),
        "sensor": {**sensor, **bands},
        "images": images,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def placed(settings: RunSettings) -> RunSettings:
    """The settings with whole paths to data and models, which mean the same from any folder.

    A method's own settings stay as they were given.
    """
    data = Path(settings.data).resolve()
    paths = {"data": str(data.parent if data.name == FILE_NAME else data)}
    for name in ("begin_from", "teacher"):
        value = getattr(settings, name)
        path = Path(value or "").expanduser()
        if value and value != "nano" and path.exists():  # what is no path is a size or on the hub
            paths[name] = str(path.resolve())
    return settings.model_copy(update=paths)


def _parts(items: Iterable[Item]) -> dict[str, Any]:
    return {item.key: "whole" if item.is_whole else [*item.rows, *item.columns] for item in items}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values in values under names with points, as `--set` takes them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _check_same(settings: RunSettings, path: Path) -> None:
    earlier = placed(validate(RunSettings, read_settings(path), str(path)))
    if found := _difference(flat(earlier.deciding()), flat(placed(settings).deciding())):
        raise SettingsError(f"{path} was run with {found}. Resume with the same settings, or choose another --out.")


def _check_same_data(data: Mapping[str, Any], path: Path) -> None:
    """Runs of versions that kept no such file are taken at their word."""
    if not path.is_file():
        return
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}). Remove it to trust that the data are the same."
        ) from error
    if found := _difference(flat(earlier), flat(data)):
        raise InputError(
            f"{path.parent.parent} learnt from data with {found}. "
            "Resume with the data as they were, or choose another --out."
        )


def _difference(earlier: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The first of what differs, in words; nothing where all is the same."""
    differing = [name for name in {**ours, **earlier} if not _agree(earlier.get(name), ours.get(name))]
    if not differing:
        return ""
    name = differing[0]
    more = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
    return f"{name} = {earlier.get(name)}, now it is {ours.get(name)}{more}"


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=ROUNDING, abs_tol=NOTHING)
    return bool(one == other)
