"""Lists of images and masks as some data sets publish them, as samples; and labels that are numbers of regions."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sensam.data.pairing import Item, Pairing
from sensam.errors import InputError

MOST_REGIONS = 255  # numbers that 8 bits hold
REGIONS: list[dict[str, Any]] = [
    {"name": "no region" if number == 0 else f"region {number}", "stored": number} for number in range(MOST_REGIONS + 1)
]
NO_LABEL = MOST_REGIONS + 1


def read_rows(path: Path, *, encoding: str = "utf-8", delimiter: str = ",", least: int = 1) -> list[list[str]]:
    """The rows of a list; blank ones are skipped, short ones an error."""
    try:
        with path.open(encoding=encoding, newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list ({error}).") from error
    kept = [row for row in rows if any(row)]
    short = next((row for row in kept if len(row) < least), None)
    if short is not None or not kept:
        raise InputError(f"{path} needs {least} columns in every row, found {short or 'no row'}.")
    return kept


def pair_listed(samples: Mapping[str, Iterable[tuple[str, Sequence[Path], Path]]]) -> Pairing:
    """Samples (key, images, mask) by split; an error where a file that is listed is not there."""
    items: dict[str, tuple[Item, ...]] = {}
    for split, listed in samples.items():
        found = [Item(key, split, tuple(images), mask) for key, images, mask in listed]
        missing = [path for item in found for path in (*item.images, item.mask) if path and not path.is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} listed files of split {split} are not there (first: {missing[0]}). "
                "Download them, or list fewer."
            )
        items[split] = tuple(sorted(found, key=lambda item: item.key))
    return Pairing(items)
