"""dataset.yaml as text: written for a folder that has none, and changed without touching what a person wrote."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

from sensam.data.discovery import guess
from sensam.data.layout import FILE_NAME, BandStatistics, read_mapping
from sensam.errors import InputError, SettingsError
from sensam.files import write_text

NOTES = {
    "sensor": "what the numbers mean: a preset (`sensam sensors`) or your own bands",
    "images": "* is the key by which masks are found",
    "masks": "the same * as in images",
    "label": "how masks say which class a pixel is",
    "classes": "in the order of their numbers; give them their names and colours",
    "ignore": "the class number that is neither learnt nor scored",
    "splits": "folders, keys, shares, or parts of a scene",
}


def settings_file(folder_or_yaml: Path) -> Path:
    """The dataset.yaml of a data set; an error where there is none yet."""
    path = folder_or_yaml / FILE_NAME if folder_or_yaml.is_dir() else folder_or_yaml
    if not path.is_file():
        raise InputError(f"{path} does not exist. Write it with: sensam check {folder_or_yaml} --write")
    return path


def write_guess(folder: Path) -> Path:
    """Write the dataset.yaml of a plain folder; never over one that is there."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. --write makes the {FILE_NAME} of a folder with images and masks.")
    path = folder / FILE_NAME
    if path.exists():
        raise InputError(f"{path} exists. Leave out --write, or remove the file first.")
    parts = [_block(name, value, NOTES.get(name)) for name, value in guess(folder).items()]
    write_text(path, "".join(parts))
    return path


def write_statistics(path: Path, found: Mapping[str, BandStatistics], split: str) -> None:
    """Put `statistics` in place of the old ones, or at the end; every other line stays as it is."""
    if "published" in read_mapping(path):
        raise SettingsError(
            f"{path} names a published layout, which has no place for statistics. Every run measures them; "
            "to see them give --dry."
        )
    values = {name: _rounded(each) for name, each in found.items()}
    block = _block("statistics", values, f"measured by sensam stats on split {split}: valid pixels, physical units")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    start = next((n for n, line in enumerate(lines) if line.startswith("statistics:")), None)
    if start is None:
        text = "".join(lines)
        write_text(path, f"{text}{'' if text.endswith(chr(10)) else chr(10)}\n{block}")
        return
    stop = next((n for n in range(start + 1, len(lines)) if lines[n][:1] not in " \t\r\n"), len(lines))
    while stop > start + 1 and not lines[stop - 1].strip():
        stop -= 1
    write_text(path, "".join([*lines[:start], block, *lines[stop:]]))


def _block(name: str, value: Any, note: str | None) -> str:
    """One top-level setting, with what it means behind it."""
    body = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)
    body = body.removesuffix("...\n").rstrip()
    remark = f"  # {note}" if note else ""
    return f"{name}:{remark}\n{indent(body, '  ')}\n" if "\n" in body else f"{name}: {body}{remark}\n"


def _rounded(found: BandStatistics) -> dict[str, Any]:
    """Nine digits: more than float32 holds."""
    values = found.model_dump()
    percentiles = {part: float(f"{value:.9g}") for part, value in values.pop("percentiles").items()}
    pixels = values.pop("pixels")
    return {
        **{key: float(f"{value:.9g}") for key, value in values.items()},
        "percentiles": percentiles,
        "pixels": pixels,
    }
