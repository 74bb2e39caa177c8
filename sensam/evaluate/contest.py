"""A SAM against flood fill and against itself untrained, on the same regions."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sensam.evaluate.clicks import Picture, Score, best_flood, box_answer, click_answer, score
from sensam.sam.model import Sam
from sensam.version import __version__


@dataclass(frozen=True, slots=True)
class Entry:
    """One contestant's scores."""

    name: str
    click: Score
    box: Score


def contest(sam: Sam, pictures: list[Picture]) -> list[Entry]:
    """The SAM first, then what it must beat."""
    torch.manual_seed(0)
    untrained = Sam(sam.anatomy)
    click_tolerance, flood_click = best_flood(pictures)
    box_tolerance, flood_box = best_flood(pictures, boxed=True)
    return [
        Entry(sam.anatomy.name, score(click_answer(sam), pictures), score(box_answer(sam), pictures)),
        Entry(f"flood fill, best tolerance ({click_tolerance} click, {box_tolerance} box)", flood_click, flood_box),
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
