"""The printed results and claims of a paper, as data."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sensam.errors import unknown

PAPERS = ("e2sam", "cwsam", "simmat", "goodsam")

Kind = Literal[
    "greater",  # left is above right, in every contrast
    "close",  # left and right differ by less than `margin`
    "larger gain",  # the first contrast is larger than the second
    "fewer",  # left needs less than right
    "identity",  # follows from how it is built, and is computed exactly
    "qualitative",  # shown as a picture; our measure stands in for it
    "unreachable",  # nothing to compare with can be had
]
Measure = Literal["miou", "clicks", "mixing", "trained", "flops"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Flag(_Frozen):
    """A printed cell that cannot be right, or says less than it seems to."""

    cell: str  # a column, or "delta COLUMN"
    why: str
    likely: float | None = None  # what was probably meant


class Row(_Frozen):
    """One row of a table, exactly as printed."""

    id: str
    table: int | str
    data: str
    input: str
    model: str
    values: dict[str, float]
    deltas: dict[str, float] = {}
    against: str | None = None  # the row that the deltas are meant against
    flags: tuple[Flag, ...] = ()


class PrintedContrast(_Frozen):
    """A difference between two printed cells."""

    left: str
    right: str
    cell: str


class Contrast(_Frozen):
    """A difference that the scaled-down run measures, between two entries of a study."""

    study: str
    left: str
    right: str
    measure: Measure = "miou"
    domains: Literal["all", "own", "other"] = "all"  # those that were trained on, or those that were not


class Claim(_Frozen):
    """One statement of a paper and how it is checked."""

    id: str
    says: str
    kind: Kind = "greater"
    printed: tuple[PrintedContrast, ...]
    scaled: tuple[Contrast, ...]
    margin: float | None = Field(default=None, gt=0)  # points, for `close`
    provided: Contrast | None = None  # for `close`: what must be beyond noise, or nothing was learnt that could differ
    identity: Literal["mmd-blind", "selection-share", "student-size"] | None = None
    cannot: str  # what the scaled-down evidence cannot say

    @model_validator(mode="after")
    def _is_checkable(self) -> Self:
        if {self.kind == "close"} != {self.margin is not None, self.provided is not None}:
            raise ValueError(f"{self.id}: a margin and a provided contrast go with kind close, and only with it")
        if (self.kind == "identity") != (self.identity is not None):
            raise ValueError(f"{self.id}: an identity goes with kind identity, and only with it")
        if self.kind not in {"identity", "unreachable"} and not self.scaled:
            raise ValueError(f"{self.id}: nothing says how it is measured")
        if self.kind == "larger gain" and len(self.scaled) != 2:
            raise ValueError(f"{self.id}: a larger gain compares two contrasts")
        return self


class Paper(_Frozen):
    """The results and claims of one paper, and what of it could be read."""

    key: str
    title: str
    venue: str
    unit: str
    known: str
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]

    def row(self, identifier: str) -> Row:
        """A row by its id."""
        for row in self.rows:
            if row.id == identifier:
                return row
        raise unknown(f"row of {self.key}", identifier, [row.id for row in self.rows])

    def claim(self, identifier: str) -> Claim:
        """A claim by its id."""
        for claim in self.claims:
            if claim.id.lower() == identifier.lower():
                return claim
        raise unknown(f"claim of {self.key}", identifier, [claim.id for claim in self.claims])

    def differences(self, claim: Claim) -> Iterator[float]:
        """The printed differences that a claim rests on."""
        for contrast in claim.printed:
            left, right = self.row(contrast.left), self.row(contrast.right)
            yield round(left.values[contrast.cell] - right.values[contrast.cell], 2)


@lru_cache
def load_paper(key: str) -> Paper:
    """One paper by its key, such as `e2sam`."""
    if key not in PAPERS:
        raise unknown("paper", key, PAPERS)
    text = resources.files("sensam.evaluate.claims").joinpath(f"{key}.yaml").read_text(encoding="utf-8")
    return Paper.model_validate(yaml.safe_load(text))


def load_papers() -> tuple[Paper, ...]:
    """All of them, in the order of publication of their methods in sensam."""
    return tuple(load_paper(key) for key in PAPERS)
