"""log.csv: what was learnt when. A resumed run takes back the rows that its checkpoint has not seen."""

import csv
from collections.abc import Mapping
from pathlib import Path

from sensam.files import whole

Row = Mapping[str, str | int | float]


class Journal:
    """One row for every few steps; columns that come later are empty in the rows before."""

    def __init__(self, path: Path, *, keep: tuple[int, int] | None = None) -> None:
        """Start anew, or keep the rows up to (stage, step) of the run that is resumed."""
        self.path = path
        self.rows: list[dict[str, str]] = []
        self.columns: list[str] = []
        if keep is not None and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file))
            self.rows = [row for row in found if _place(row) <= keep and None not in row.values()]
            self.columns = list(found[0]) if found else []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite()

    def add(self, row: Row) -> None:
        """Append a row; it is on disk when this returns."""
        text = {name: value if isinstance(value, str) else f"{value:.9g}" for name, value in row.items()}
        self.rows.append(text)
        fresh = [name for name in text if name not in self.columns]
        if fresh:
            self.columns += fresh
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(text)

    def _rewrite(self) -> None:
        with whole(self.path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self.columns, restval="")
            if self.columns:
                table.writeheader()
            table.writerows(self.rows)


def _place(row: Mapping[str, str | None]) -> tuple[float, float]:
    """Where a row stands; a row that was cut off stands at the end, where it is dropped."""
    try:
        return float(row["stage"] or "inf"), float(row["step"] or "inf")
    except (KeyError, ValueError):
        return float("inf"), float("inf")
