"""What benchmarks/e2sam.py compares on a data set, and for how long: full takes ninety minutes of two cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
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
# Entries that also inherit for a part of the steps; in windows of 64 it counts most on land cover with detail.
PARTS = {"a quarter": 4, "half": 2}
SHORTENED = {"seafog": ("e2sam", ("a quarter",)), "worldcover12_hls": ("e2sam, detail", ("a quarter", "half"))}


@dataclass(frozen=True, slots=True)
class Course:
    """How a data set is learnt, by every entry alike. Chosen on validation; so many steps tell methods apart."""

    steps: int  # on labels
    inherit_steps: int  # without, in windows of INHERITED
    shares: tuple[float, ...] = (1.0,)  # of the labels
    size: int = 64  # pixels on a side of a window
    batch: int = 4
    loss: str = LOSS
    validations: int = 5


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a run of the benchmark asks for."""

    name: str
    sets: tuple[str, ...]
    courses: Mapping[str, Course]
    candidates: int = 40  # triples among which SAM's best is looked for
    looked_at: int = 6  # images by which it is chosen
    asks_everything: bool = False  # every entry on every set
    only: tuple[str, ...] = ()  # these entries, where a question needs no others


SETS = (*GENERATED, *TILES, *SCENES)
REAL = (*TILES, *SCENES)
SCARCE = (1.0, 0.1, 0.01)
SCANTY = (0.1, 0.01)
INHERITED: Mapping[str, Any] = {"size": 64, "batch": 4, "optimiser": "muon"}
QUICK = Extent("quick", ("seafog",), dict.fromkeys(SETS, Course(40, 80)), candidates=4, looked_at=2)
# Real images are much alike within, so many small windows teach more than few large ones of as many pixels, whatever
# the method: on land cover, by validation, E2SAM with detail goes from 0.27 in windows of 64 to 0.39 in windows of 16,
# the U-Net from 0.24 to 0.38. On weeds and generated scenes small windows harm.
FULL = Extent(
    "full",
    SETS,
    {
        "seafog": Course(250, 800, SCARCE),
        "drive": Course(250, 400),
        "water12_hls": Course(300, 400, size=32, batch=16, validations=2),
        "worldcover12_hls": Course(400, 400, size=16, batch=64, validations=2),
        "mri3_lgg": Course(250, 400, size=32, batch=16, validations=2),
        # Dice weighs the few pixels of crops as much as all weeds, of which the bar of single pixels speaks.
        "crop_weed_nir2": Course(400, 400, loss="ce", validations=2),
        "s1_flood_sen1floods11": Course(250, 400, size=32, batch=16, validations=2),
    },
)
SCANT = Extent(  # the real sets where labels are few: a tenth, a hundredth
    "scant",
    REAL,
    {**dict.fromkeys(REAL, Course(250, 400, SCANTY)), "worldcover12_hls": Course(400, 400, SCANTY)},
    only=METHODS,
)
# In windows of 64 ten classes of very different size take longer than two: by validation E2SAM had 0.18 on land cover
# after 400 steps, 0.25 after 800, 0.29 after 2000.
LONG = Extent(
    "long",
    SETS,
    {
        **dict.fromkeys(SETS, Course(400, 800)),
        "seafog": Course(250, 800, SCARCE),
        "drive": Course(250, 800),
        "water12_hls": Course(400, 800, (1.0, 0.1)),  # a hundredth of 95 tiles is one
        "worldcover12_hls": Course(2000, 800),
    },
    asks_everything=True,
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What all entries of all sets share."""

    seeds: int = 3
    rate: float = 1e-3
    triples: int = 2  # of each pass of the student
    teacher: str = "nano"


def make_plan(name: str, data: Path, extent: Extent, lesson: Lesson) -> Plan:
    """One budget for all; only where labels are what is scarce are shares of them tried."""
    course = extent.courses[name]
    asked = entries(name, extent, {"triples": lesson.triples, "log_picks": True})
    values = {
        "data": str(data),
        "entries": {entry: each for entry, each in asked.items() if not extent.only or entry in extent.only},
        "seeds": lesson.seeds,
        "shares": list(course.shares),
        "steps": course.steps,
        "inherit_steps": course.inherit_steps,
        "inherit": dict(INHERITED),
        "control": extent.asks_everything and not extent.only,
        "teacher": lesson.teacher,
        "train": {
            "size": course.size,
            "batch": course.batch,
            "rate": lesson.rate,
            "workers": 0,
            "validations": course.validations,
            "log_every": max(1, course.inherit_steps // 20),
        },
    }
    return parse_plan(values, f"the plan for {name}")


def entries(name: str, extent: Extent, inheriting: Mapping[str, Any]) -> dict[str, Any]:
    """The contestants on a data set."""
    course = extent.courses[name]
    recipe = partial(_recipe, loss=course.loss)
    settings = {**recipe("e2sam"), **inheriting}
    everything = extent.asks_everything
    methods = METHODS if everything or name != "drive" else DAYTIME
    found: dict[str, Any] = {method: {"method": method, "settings": recipe(method)} for method in methods}
    found["e2sam"]["settings"] = settings
    if everything or name != "drive":
        for method in DETAILED:
            detailed = once(method, {**found[method]["settings"], "detail": True})
            found[f"{method}, detail"] = detailed | ({"shares": None} if everything else {})
        found["e2sam, detail"]["students_of"] = "e2sam"
    if name == "seafog":
        found |= _of_sea_fog(settings) if everything else _control(recipe("scratch"), course)
    if name in SHORTENED and (everything or name == "worldcover12_hls"):
        whole, parts = SHORTENED[name]
        for words in parts if everything else parts[:1]:
            steps = max(1, course.inherit_steps // PARTS[words])
            shorter = once("e2sam", found[whole]["settings"]) | {"inherit_steps": steps}
            found[f"{whole}, {words} of inheritance"] = shorter
    if name == "drive":
        for method in DAYTIME:
            found[f"{method}, day alone"] = {**found[method], "domains": ["daytime"]}
    return found


def _control(settings: Mapping[str, Any], course: Course) -> dict[str, Any]:
    """Scratch with all steps on labels. Elsewhere, and with few labels, the long run has it."""
    return {CONTROL: once("scratch", settings) | {"steps": course.steps + course.inherit_steps}}


def _of_sea_fog(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked on one set: bands that go missing, SAM's neck taught too, and SAM on three triples ("C3*")."""
    students = {MISSING: {"band_dropout": 0.3}, NECK: {"neck_loss": 1.0}}
    triples = {f"sam3, {' '.join(each)}": once("sam3", {**_recipe("sam3", LOSS), "triple": each}) for each in TRIPLES}
    return {**{each: once("e2sam", {**settings, **more}) for each, more in students.items()}, **triples}


def once(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose question is not one of few labels."""
    return {"method": method, "settings": dict(settings), "shares": [1.0]}


def _recipe(method: str, loss: str) -> dict[str, Any]:
    """How a method learns from labels in a short run."""
    return {"loss": loss, **({"encoder_rate": GENTLE} if method in KNOWING else {})}
