"""A SAM against flood fill and against itself untrained, on the same regions."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sensam.evaluate.clicks import (
    Picture,
    Score,
    best_flood,
    box_answer,
    click_answer,
    filled_answer,
    middle_of_box,
    score,
)
from sensam.sam.model import Sam
from sensam.version import __version__


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant's scores; none where it has no answer of its own."""

    name: str
    click: Score | None
    box: Score | None


def contest(sam: Sam, pictures: list[Picture]) -> list[Entry]:
    """The SAM first, then what it must beat. A click is the most inner pixel; a box tells no such pixel."""
    torch.manual_seed(0)
    untrained = Sam(sam.anatomy)
    by_click, flood_click = best_flood(pictures)
    by_box, flood_box = best_flood(pictures, boxed=True, start=middle_of_box)
    by_both, flood_both = best_flood(pictures, boxed=True)
    name = sam.anatomy.name
    return [
        Entry(name, score(click_answer(sam), pictures), score(box_answer(sam), pictures)),
        Entry(f"{name}, a closer look", None, score(box_answer(sam, closer=True), pictures)),
        Entry(f"flood fill, best tolerance ({by_click} click, {by_box} box)", flood_click, flood_box),
        Entry(f"flood fill in the box, told the click too ({by_both})", None, flood_both),
        Entry("the box itself", None, score(filled_answer, pictures)),
        Entry("the same, untrained", score(click_answer(untrained), pictures), score(box_answer(untrained), pictures)),
    ]


def write_json(path: Path, source: str, results: dict[str, list[Entry]]) -> None:
    """The table as a file, with what made it."""
    content = {
        "teacher": source,
        "sensam": __version__,
        "torch": torch.__version__,
        "scores": {title: [asdict(entry) for entry in entries] for title, entries in results.items()},
    }
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)
