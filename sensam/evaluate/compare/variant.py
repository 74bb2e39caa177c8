"""The data set of an entry that sees less of it: fewer bands, or training images of some domains only."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from sensam.config import read_settings
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.layout import FILE_NAME, expand
from sensam.errors import InputError, SettingsError, unknown
from sensam.evaluate.compare.plan import Entry, Plan
from sensam.files import write_text

ENDS = 1 << 16  # bytes at the beginning and at the end of a file that its hash takes in


def data_of(entry: Entry, name: str, plan: Plan, folder: Path) -> str:
    """Where an entry's data set lies: the plan's own, or a dataset.yaml in `folder` that leaves something out."""
    if entry.bands is None and entry.domains is None:
        return plan.data
    source = Path(plan.data)
    path = source if source.suffix in {".yaml", ".yml"} else source / FILE_NAME
    if not path.is_file():
        raise InputError(f"{plan.data} has no {FILE_NAME}, which entry {name} needs. Run: sensam check DATA --write")
    raw = read_settings(path)
    whole = open_dataset(path)
    raw["root"] = str(whole.spec.root.resolve())
    if isinstance(raw.get("sensor"), str) and raw["sensor"].endswith((".yaml", ".yml")):
        raw["sensor"] = str((path.resolve().parent / expand(raw["sensor"], str(path))).resolve())
    if entry.bands is not None:
        raw["bands"] = list(entry.bands)
    if entry.domains is not None:
        raw["splits"] = _restricted(raw, entry.domains, plan, whole)
    target = folder / "data" / f"{name}.yaml"
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=110)
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)
    return str(target)


def _restricted(raw: dict[str, Any], domains: tuple[str, ...], plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """The splits with training and validation images of these domains only; the test split stays whole."""
    known = dataset.spec.domains
    patterns = []
    for name in domains:
        if name not in known:
            raise unknown(f"domain of {dataset.name}", name, known)
        patterns += list(known[name])
    splits: dict[str, Any] = {}
    for name, rule in dataset.spec.splits.items():
        plain = rule.model_dump(mode="json", exclude_defaults=True)
        if name in (plan.train.split, plan.train.val_split):
            if rule.keys != ("*",) or rule.share is not None:
                raise SettingsError(
                    f"split {name} of {raw.get('name', dataset.name)} has keys or a share; domains need neither."
                )
            plain["keys"] = patterns
        splits[name] = plain
    return splits


def hash_data(dataset: Dataset) -> str:
    """The same for the same files: names, sizes, beginnings and ends of all of them, and what dataset.yaml says."""
    digest = hashlib.sha256(repr((dataset.classes, dataset.ignore, dataset.sensor.band_names)).encode())
    for split in sorted(dataset.splits):
        for item in dataset.items(split):
            for path in (*item.images, *([item.mask] if item.mask else [])):
                digest.update(f"{split} {item.key} {path.name} {path.stat().st_size}".encode())
                with path.open("rb") as file:
                    digest.update(file.read(ENDS))
                    file.seek(max(0, path.stat().st_size - ENDS))
                    digest.update(file.read(ENDS))
    return digest.hexdigest()[:16]
