"""What benchmarks/e2sam.py compares on a data set, and for how long: full takes ninety minutes of two cores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2sam_data import GENERATED, SCENES, TILES

from sensam.evaluate.compare.plan import CONTROL, Plan, parse_plan
from sensam.evaluate.walk import GENTLE, LOSS

METHODS = ("scratch", "sam3", "resam", "repe", "e2sam", "unet")
KNOWING = ("sam3", "resam", "e2sam")  # their encoders come from SAM or have inherited from it
DAYTIME = ("scratch", "repe", "e2sam")  # entries of `drive` that also learn by day alone
DETAILED = ("scratch", "e2sam")  # entries that are also tried with a decoder that sees pixels
TRIPLES = (("B03", "B02", "B01"), ("B07", "B06", "B05"), ("B14", "B04", "B03"))  # of sea fog
MISSING, NECK = "e2sam, bands go missing", "e2sam, fused neck too"
# Entries that also inherit for a part of the steps. On land cover inheritance counts most, and `detail` shows it.
PARTS = {"a quarter": 4, "half": 2}
SHORTENED = {"seafog": ("e2sam", ("a quarter",)), "worldcover12_hls": ("e2sam, detail", ("a quarter", "half"))}


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a run of the benchmark asks for. Steps on labels are so many that methods can be told apart."""

    name: str
    sets: tuple[str, ...]
    steps: Mapping[str, int]  # on labels
    inherit_steps: Mapping[str, int]  # without
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of the labels; all of them elsewhere
    candidates: int = 40  # triples among which SAM's best is looked for
    looked_at: int = 6  # images by which it is chosen
    asks_everything: bool = False  # every entry on every set
    only: tuple[str, ...] = ()  # these entries, where a question needs no others


SETS = (*GENERATED, *TILES, *SCENES)
SCARCE = (1.0, 0.1, 0.01)
QUICK = Extent("quick", ("seafog",), dict.fromkeys(SETS, 40), dict.fromkeys(SETS, 80), candidates=4, looked_at=2)
FULL = Extent(
    "full",
    SETS,
    {**dict.fromkeys(SETS, 250), "worldcover12_hls": 400},
    {**dict.fromkeys(SETS, 400), "seafog": 800},
    {"seafog": SCARCE},
)
REAL = (*TILES, *SCENES)
SCANT = Extent(  # the same lessons from a tenth and a hundredth of the labels, where full asks for all of them alone
    "scant",
    REAL,
    FULL.steps,
    FULL.inherit_steps,
    dict.fromkeys(REAL, (0.1, 0.01)),
    only=METHODS,
)
# Ten classes of very different size in 95 tiles take longer than two: by validation E2SAM had 0.18 on land cover after
# 400 steps, 0.25 after 800, 0.29 after 2000.
LONG = Extent(
    "long",
    SETS,
    {**dict.fromkeys(SETS, 400), **dict.fromkeys(GENERATED, 250), "worldcover12_hls": 2000},
    dict.fromkeys(SETS, 800),
    {"seafog": SCARCE, "water12_hls": (1.0, 0.1)},  # a hundredth of 95 tiles is one
    asks_everything=True,
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What all entries of all sets share."""

    seeds: int = 3
    size: int = 64  # pixels on a side of a window
    batch: int = 4
    rate: float = 1e-3
    triples: int = 2  # of each pass of the student
    teacher: str = "nano"


def make_plan(name: str, data: Path, extent: Extent, lesson: Lesson) -> Plan:
    """One budget for all; only where labels are what is scarce are shares of them tried."""
    inherit_steps = extent.inherit_steps[name]
    asked = entries(name, extent, {"triples": lesson.triples, "log_picks": True})
    values = {
        "data": str(data),
        "entries": {entry: each for entry, each in asked.items() if not extent.only or entry in extent.only},
        "seeds": lesson.seeds,
        "shares": list(extent.shares.get(name, (1.0,))),
        "steps": extent.steps[name],
        "inherit_steps": inherit_steps,
        "inherit": {"optimiser": "muon"},
        "control": extent.asks_everything and not extent.only,
        "teacher": lesson.teacher,
        "train": {
            "size": lesson.size,
            "batch": lesson.batch,
            "rate": lesson.rate,
            "workers": 0,
            "validations": 5,
            "log_every": max(1, inherit_steps // 20),
        },
    }
    return parse_plan(values, f"the plan for {name}")


def entries(name: str, extent: Extent, inheriting: Mapping[str, Any]) -> dict[str, Any]:
    """The contestants on a data set."""
    settings = {**recipe("e2sam"), **inheriting}
    everything = extent.asks_everything
    methods = METHODS if everything or name != "drive" else DAYTIME
    found: dict[str, Any] = {method: {"method": method, "settings": recipe(method)} for method in methods}
    found["e2sam"]["settings"] = settings
    if everything or name in SHORTENED:
        for method in DETAILED:
            detailed = once(method, {**found[method]["settings"], "detail": True})
            found[f"{method}, detail"] = detailed | ({"shares": None} if everything else {})
        found["e2sam, detail"]["students_of"] = "e2sam"
    if name == "seafog":
        found |= _of_sea_fog(settings) if everything else _control(extent.steps[name] + extent.inherit_steps[name])
    if name in SHORTENED and (everything or name == "worldcover12_hls"):
        whole, parts = SHORTENED[name]
        for words in parts:
            steps = max(1, extent.inherit_steps[name] // PARTS[words])
            shorter = once("e2sam", found[whole]["settings"]) | {"inherit_steps": steps}
            found[f"{whole}, {words} of inheritance"] = shorter
    if name == "drive":
        for method in DAYTIME:
            found[f"{method}, day alone"] = {**found[method], "domains": ["daytime"]}
    return found


def _control(total: int) -> dict[str, Any]:
    """Scratch with all steps on labels. Elsewhere, and with few labels, the long run has it."""
    return {CONTROL: once("scratch", recipe("scratch")) | {"steps": total}}


def _of_sea_fog(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked on one set: bands that go missing, SAM's neck taught too, and SAM on three triples ("C3*")."""
    students = {MISSING: {"band_dropout": 0.3}, NECK: {"neck_loss": 1.0}}
    triples = {f"sam3, {' '.join(each)}": once("sam3", {**recipe("sam3"), "triple": each}) for each in TRIPLES}
    return {**{each: once("e2sam", {**settings, **more}) for each, more in students.items()}, **triples}


def once(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose question is not one of few labels."""
    return {"method": method, "settings": dict(settings), "shares": [1.0]}


def recipe(method: str) -> dict[str, Any]:
    """How a method learns from labels in a short run."""
    return {"loss": LOSS, **({"encoder_rate": GENTLE} if method in KNOWING else {})}
