"""A table that is one thing in two forms: what the page shows and what the CSV holds."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Number:
    """A number with the way a person wants to read it; the CSV keeps all its digits."""

    value: float
    style: str = ".1f"  # a format specification; `%` and `,` work as in Python
    unit: str = ""

    def __str__(self) -> str:
        if isnan(self.value):
            return NOTHING
        return f"{self.value:{self.style}}{self.unit}"


T = TypeVar("T")
NOTHING = "\N{EN DASH}"
Entry = str | Number | None  # None: nothing was measured


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text and numbers under named columns."""

    name: str  # of the CSV file
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    strong: frozenset[int] = frozenset()  # rows that stand out

    def csv(self) -> str:
        """Plain numbers, with a header; empty where nothing was measured."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_stored(entry) for entry in row] for row in self.rows)
        return buffer.getvalue()

    def html(self) -> str:
        """The same rows for reading; numbers stand to the right."""
        numeric = [_is_numeric([row[place] for row in self.rows]) for place in range(len(self.columns))]
        head = "".join(
            f'<th scope="col"{_side(right)}>{escape(name)}</th>' for name, right in _both(self.columns, numeric)
        )
        body = []
        for place, row in enumerate(self.rows):
            cells = "".join(f"<td{_side(right)}>{escape(shown(entry))}</td>" for entry, right in _both(row, numeric))
            body.append(f"<tr{' class=strong' if place in self.strong else ''}>{cells}</tr>")
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def shown(entry: Entry) -> str:
    """What a reader sees."""
    return NOTHING if entry is None else str(entry)


def _stored(entry: Entry) -> str:
    if entry is None or (isinstance(entry, Number) and isnan(entry.value)):
        return ""
    return repr(entry.value) if isinstance(entry, Number) else entry


def _is_numeric(column: Sequence[Entry]) -> bool:
    return any(isinstance(entry, Number) for entry in column)


def _side(right: bool) -> str:
    return ' class="n"' if right else ""


def _both(entries: Sequence[T], numeric: Sequence[bool]) -> list[tuple[T, bool]]:
    return list(zip(entries, numeric, strict=True))
