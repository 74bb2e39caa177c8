"""What a comparison compares: entries, seeds, shares of the labels, and the one protocol that holds for all."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sensam.config import TrainSettings, read_settings, validate
from sensam.errors import InputError, SettingsError
from sensam.files import write_text

CONTROL = "scratch, equal total"  # what a two-stage method must beat: the same steps, all of them on labels
# What would make a comparison unfair if it differed between entries; an entry may not set it.
COMMON = (
    *("epochs", "steps", "batch", "accumulate", "size", "fit", "length", "label_share", "augment"),
    *("split", "val_split", "validations", "patience", "keep"),
)
BUDGET = ("epochs", "label_share", "steps")  # what the plan alone settles, with settings of its own
# Where two entries must agree to have the same students; of their settings only those that labels need may differ.
MAKES_STUDENTS = ("method", "train", "tune", "bands", "domains", "steps", "inherit_steps", "stages")
MINUTES_PROBE = 6  # steps that are timed to find how many fit into the minutes

Share = Annotated[float, Field(gt=0, le=1)]  # of the labels


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _counted(value: Any) -> Any:
    """A number of seeds stands for the first so many."""
    return tuple(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def _leave_the_budget(part: str, given: Collection[str], instead: str) -> None:
    wrong = [f"{part}.{name}" for name in BUDGET if name in given]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} would differ from the budget; use {instead}")


class Entry(_Frozen):
    """One contestant: a method with its settings."""

    method: str
    settings: Mapping[str, Any] = Field(default_factory=dict)  # the method's own
    train: Mapping[str, Any] = Field(default_factory=dict)  # how it learns, but for what must be common
    tune: Mapping[str, tuple[Any, ...]] = Field(default_factory=dict)  # of those, values to choose from on validation
    bands: tuple[str, ...] | None = None  # fewer bands than the data set has
    domains: tuple[str, ...] | None = None  # train on these only
    steps: int | None = Field(default=None, ge=1)  # instead of the plan's
    inherit_steps: int | None = Field(default=None, ge=1)
    shares: tuple[Share, ...] | None = Field(default=None, min_length=1)  # of the plan's; None: at each of them
    students_of: str | None = None  # another entry, whose inheritance it begins from instead of repeating it
    stages: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)  # how one stage learns, where it differs

    @model_validator(mode="after")
    def _keeps_what_is_common(self) -> Self:
        wrong = sorted({*self.train, *self.tune} & set(COMMON))
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must be the same for every entry; set it under the plan's own train")
        for stage, given in self.stages.items():
            _leave_the_budget(f"stages.{stage}", given, "steps and inherit_steps")
        return self


class Plan(_Frozen):
    """Everything that decides the numbers of a comparison."""

    data: str
    entries: Mapping[str, Entry] = Field(min_length=1)
    seeds: Annotated[tuple[int, ...], BeforeValidator(_counted)] = Field(default=(0, 1, 2), min_length=1)
    shares: tuple[Share, ...] = Field(default=(1.0,), min_length=1)
    steps: int | None = Field(default=None, ge=1)  # on labels, for every entry
    minutes: float | None = Field(default=None, gt=0)  # of training on labels, instead of steps
    inherit_steps: int | None = Field(default=None, ge=1)  # of stages without labels; as many as on labels by default
    inherit: Mapping[str, Any] = Field(default_factory=dict)  # how those stages learn, where it differs from train
    control: bool = True  # add an untrained start with the steps of both stages, where an entry has two
    train: TrainSettings = TrainSettings()
    teacher: str = "nano"
    test_split: str = "test"
    judge: Literal["classes", "clicks"] = "classes"  # what is scored: class maps, or one click in every region

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("steps and minutes both settle the budget; give one of them")
        _leave_the_budget("train", self.train.model_fields_set, "steps and shares")
        _leave_the_budget("inherit", self.inherit, "inherit_steps")
        for name, values in (("seeds", self.seeds), ("shares", self.shares)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} must differ, found {list(values)}")
        for name, entry in self.entries.items():
            if others := sorted(set(entry.shares or ()) - set(self.shares)):
                raise ValueError(f"entry {name} asks for shares {others}, the plan has {list(self.shares)}")
            if entry.students_of is not None:
                self._check_students(name, entry, entry.students_of)
        return self

    def _check_students(self, name: str, entry: Entry, of: str) -> None:
        """Whoever begins from another entry's students must have made the same ones."""
        owner = self.entries.get(of)
        if owner is None or owner.students_of is not None:
            own = [other for other, each in self.entries.items() if each.students_of is None]
            raise ValueError(f"entry {name} begins from students of {of!r}; the entries with students are {own}")
        wrong = [field for field in MAKES_STUDENTS if getattr(entry, field) != getattr(owner, field)]
        if wrong:
            raise ValueError(f"entry {name} begins from students of {of}, but differs from it in {', '.join(wrong)}")
        if entry.tune or not (self.steps or self.inherit_steps or entry.inherit_steps):
            raise ValueError(
                f"entry {name} begins from students of {of}, but what is tuned or timed may come out otherwise for the "
                "two; leave out tune, and set inherit_steps where minutes are the budget"
            )

    def cells(self) -> Iterator["Cell"]:
        """Every combination, seed by seed: what is stopped early is complete for its first seeds."""
        for seed in self.seeds:
            for share in sorted(self.shares, reverse=True):
                for name, entry in self.entries.items():
                    if share in (entry.shares or self.shares):
                        yield Cell(name, seed, share)

    def common(self) -> dict[str, Any]:
        """How every entry is trained, written out, so that no method's own habits slip in."""
        return {name: getattr(self.train, name) for name in COMMON if name not in ("epochs", "steps", "label_share")}

    def fingerprint(self) -> str:
        """What tells one comparison from another."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry, one seed, one share of the labels."""

    entry: str
    seed: int
    share: float

    @property
    def name(self) -> str:
        """As part of a file's."""
        return f"{stem_of(self.entry)}.labels{100 * self.share:g}.seed{self.seed}"


def stem_of(entry: str) -> str:
    """An entry as part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in entry)


def inheritance_folder(folder: Path, entry: str, seed: int) -> Path:
    """Where a comparison keeps an entry's run of the stages without labels."""
    return folder / "runs" / f"{stem_of(entry)}.inherit.seed{seed}"


def read_plan(path: Path) -> Plan:
    """A plan from its YAML; `methods: [scratch, e2sam]` stands for entries with the methods' own settings."""
    return parse_plan(read_settings(path), where=str(path))


def parse_plan(values: Mapping[str, Any], where: str) -> Plan:
    """A checked plan from plain values."""
    full = dict(values)
    methods = full.pop("methods", [])
    if not isinstance(methods, list) or not all(isinstance(name, str) for name in methods):
        raise SettingsError(f"{where}: methods must be a list of names, found {methods!r}.")
    entries = {name: {"method": name} for name in methods}
    full["entries"] = {**entries, **(full.get("entries") or {})}
    plan = validate(Plan, full, where)
    names = [stem_of(entry) for entry in plan.entries]
    if len(set(names)) != len(names):
        raise SettingsError(f"{where}: entries {list(plan.entries)} would share file names. Give them clearer ones.")
    return plan


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write the plan into the comparison's folder, or see that the one there is the same."""
    path = folder / "plan.yaml"
    if path.is_file():
        if read_plan(path).fingerprint() != plan.fingerprint():
            raise InputError(
                f"{folder} holds a comparison with another plan. Choose another --out, or continue that one with: "
                f"sensam compare {path} --out {folder}"
            )
        return
    text = yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True), sort_keys=False, allow_unicode=True)
    write_text(path, text)
