"""The comparisons that claims rest on: generated data, entries, and the plan that runs them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.errors import SettingsError, unknown
from sensam.evaluate.claims.ledger import Claim
from sensam.evaluate.compare.plan import Plan, parse_plan

SCALED_STEPS, FULL_STEPS = 200, 50_000  # minutes on two cores; a day on a GPU
SEED = 20  # of the generated scenes; no test and no teacher uses it


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SceneSpec(_Frozen):
    """Generated scenes that stand for a data set."""

    family: str
    counts: dict[str, int]
    size: int
    stands_for: str


class StudyEntry(_Frozen):
    """An entry whose bands and domains are settled by the data."""

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    scaled: dict[str, Any] = Field(default_factory=dict)  # more settings, for generated scenes alone
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)  # how single stages learn on generated scenes
    rgb: bool = False  # only the bands that look like a photograph
    home: bool = False  # learn in the commonest domain only
    inherit: float = 1.0  # steps without labels, in those with labels


class Study(_Frozen):
    """One comparison."""

    scenes: str
    entries: dict[str, StudyEntry]
    size: int = 64  # pixels of a window
    full_size: int = 1024  # on given data: what the papers' encoders see
    clicks: bool = False  # scored by clicks instead of class maps
    scaled: dict[str, Any] = Field(default_factory=dict)  # how all learn on generated scenes: parts of a plan


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the runs are."""

    seeds: int = 3
    steps: int | None = None  # on labels; by default few on generated scenes, many on given data
    teacher: str = "nano"
    batch: int = 8
    size: int | None = None  # of a window, instead of the study's
    scenes: int | None = None  # of each split, instead of the study's; only to try things

    def length(self, *, generated: bool) -> int:
        """Steps on labels."""
        return self.steps or (SCALED_STEPS if generated else FULL_STEPS)


@lru_cache
def load_studies() -> tuple[Mapping[str, SceneSpec], Mapping[str, Study]]:
    """All of them by name."""
    text = resources.files("sensam.evaluate.claims").joinpath("studies.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    return (
        {name: SceneSpec.model_validate(each) for name, each in raw["scenes"].items()},
        {name: Study.model_validate(each) for name, each in raw["studies"].items()},
    )


def needed(claims: Sequence[Claim]) -> dict[str, list[str]]:
    """The studies that claims rest on, each with the entries that are asked about."""
    wanted: dict[str, dict[str, None]] = {}
    for claim in claims:
        for contrast in (*claim.scaled, *([claim.provided] if claim.provided else [])):
            wanted.setdefault(contrast.study, {}).update({contrast.left: None, contrast.right: None})
    return {study: list(entries) for study, entries in wanted.items()}


def find_data(name: str, given: Mapping[str, str], folder: Path, scale: Scale) -> str:
    """Where the data of some scenes lie: what the user gave for them, or generated ones."""
    specs, _ = load_studies()
    spec = specs[name]
    for key in (name, spec.stands_for):
        if key in given:
            return given[key]
    target = folder / "scenes" / name
    if not (target / "dataset.yaml").is_file():
        counts = {split: scale.scenes or count for split, count in spec.counts.items()}
        side = spec.size if scale.size is None else max(scale.size, 32)
        # Panoramas are looked at whole: a window is as wide as they are.
        size = (side // 2, side) if spec.family == "panorama" else (side, side)
        write(family(spec.family), target, seed=SEED, counts=counts, size=size)
    return str(target)


def is_given(name: str, given: Mapping[str, str]) -> bool:
    """Whether the user has data in place of some scenes."""
    return name in given or load_studies()[0][name].stands_for in given


def check_given(given: Mapping[str, str]) -> None:
    """An error where data are given for what no study uses."""
    specs, _ = load_studies()
    known = {*specs, *(spec.stands_for for spec in specs.values())}
    for name in given:
        if name not in known:
            raise unknown("data set of the claims", name, known)


def make_plan(name: str, entries: Sequence[str], data: str, scale: Scale, *, generated: bool = True) -> Plan:
    """A study as a plan, with bands and domains named; on given data methods learn as their papers say."""
    _, studies = load_studies()
    study = studies[name]
    dataset = open_dataset(data)
    scaled = study.scaled if generated else {}
    wanted = {
        key: _entry(entry, dataset, scale, generated=generated)
        for key, entry in study.entries.items()
        if key in entries
    }
    size, workers = (study.size, {"workers": 0}) if generated else (study.full_size, {})
    train = {"size": scale.size or size, "batch": scale.batch, **workers, **scaled.get("train", {})}
    steps = scale.length(generated=generated)
    values = {"data": data, "entries": wanted, "seeds": scale.seeds, "steps": steps, "teacher": scale.teacher}
    judged = {"judge": "clicks"} if study.clicks else {}
    return parse_plan({**scaled, **values, "control": False, "train": train, **judged}, f"study {name}")


def _entry(entry: StudyEntry, dataset: Dataset, scale: Scale, *, generated: bool) -> dict[str, Any]:
    settings = {**entry.settings, **(entry.scaled if generated else {})}
    found: dict[str, Any] = {"method": entry.method, "settings": settings}
    if generated and entry.stages:
        found["stages"] = entry.stages
    if entry.rgb:
        bands = dataset.sensor.display
        if len(set(bands)) < 3:
            raise SettingsError(f"{dataset.name} has too few bands for a comparison with three of them.")
        found["bands"] = [dataset.sensor.band_names[band] for band in sorted(bands)]
    if entry.home:
        found["domains"] = [home_of(dataset)]
    if entry.inherit != 1.0:
        found["inherit_steps"] = max(1, round(entry.inherit * scale.length(generated=generated)))
    return found


def home_of(dataset: Dataset) -> str:
    """The domain with the most training images."""
    counts = Counter(item.domain for item in dataset.items("train") if item.domain)
    if len(counts) < 2:
        raise SettingsError(f"{dataset.name} names fewer than two domains, which claims about domains need.")
    return min(counts, key=lambda name: (-counts[name], name))
