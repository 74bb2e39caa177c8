"""A SAM against flood fill and against itself untrained, on the same regions."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sensam.evaluate.clicks import (
    IoUs,
    Picture,
    Score,
    ask,
    best_flood,
    box_answer,
    click_answer,
    filled_answer,
    lead,
    middle_of_box,
    summarise,
)
from sensam.files import write_text
from sensam.sam.model import Sam
from sensam.version import __version__


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant's scores; none where it has no answer of its own."""

    name: str
    click: Score | None
    box: Score | None


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the SAM is ahead of a rival, region by region; none where the rival has no such answer."""

    over: str
    click: Score | None
    box: Score
    closer: Score


@dataclass(frozen=True, slots=True)
class Contest:
    """All scores on one collection of pictures: the SAM first, then what it must beat."""

    entries: tuple[Entry, ...]
    leads: tuple[Lead, ...]


def contest(sam: Sam, pictures: list[Picture]) -> Contest:
    """A click is the most inner pixel of a region, a box tells no such pixel."""
    torch.manual_seed(0)
    untrained = Sam(sam.anatomy)
    by_click, flood_click = best_flood(pictures)
    by_box, flood_box = best_flood(pictures, boxed=True, start=middle_of_box)
    by_both, flood_both = best_flood(pictures, boxed=True)
    click, box = ask(click_answer(sam), pictures), ask(box_answer(sam), pictures)
    closer = ask(box_answer(sam, closer=True), pictures)
    rivals: dict[str, tuple[IoUs | None, IoUs]] = {
        f"flood fill, best tolerance ({by_click} click, {by_box} box)": (flood_click, flood_box),
        f"flood fill in the box, told the click too ({by_both})": (None, flood_both),
        "the box itself": (None, ask(filled_answer, pictures)),
        "the same, untrained": (ask(click_answer(untrained), pictures), ask(box_answer(untrained), pictures)),
    }
    name = sam.anatomy.name
    rows = {name: (click, box), f"{name}, a closer look": (None, closer), **rivals}
    return Contest(
        tuple(
            Entry(title, None if ious is None else summarise(ious), summarise(boxed))
            for title, (ious, boxed) in rows.items()
        ),
        tuple(
            Lead(title, None if ious is None else lead(click, ious), lead(box, boxed), lead(closer, boxed))
            for title, (ious, boxed) in rivals.items()
        ),
    )


def write_json(path: Path, source: str, results: dict[str, Contest]) -> None:
    """The tables as a file, with what made them."""
    content = {
        "teacher": source,
        "sensam": __version__,
        "torch": torch.__version__,
        "scores": {title: [asdict(entry) for entry in found.entries] for title, found in results.items()},
        "leads": {title: [asdict(each) for each in found.leads] for title, found in results.items()},
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
