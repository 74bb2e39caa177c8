"""A finding against a data set: what was found, in which files, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
LISTED = 3  # files named before "and n more"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error stops training from being what it says; a warning may be meant so."""

    severity: Severity
    found: str
    files: tuple[str, ...]  # paths, or the name of the split or band where no single file is to blame
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}{': ' if self.where else ''}{self.where}. {self.remedy}"

    @property
    def where(self) -> str:
        """The first few files; nothing where the finding names its only one already."""
        if len(self.files) == 1 and self.files[0] in self.found:
            return ""
        more = len(self.files) - LISTED
        return ", ".join(self.files[:LISTED]) + (f" and {more} more" if more > 0 else "")


def error(found: str, files: Iterable[object], remedy: str) -> Problem:
    """Something that must be mended."""
    return Problem("error", found, tuple(str(file) for file in files), remedy)


def warning(found: str, files: Iterable[object], remedy: str) -> Problem:
    """Something to look at."""
    return Problem("warning", found, tuple(str(file) for file in files), remedy)


def in_order(problems: Iterable[Problem]) -> Sequence[Problem]:
    """Errors first, otherwise as they were found."""
    return sorted(problems, key=lambda problem: problem.severity != "error")
