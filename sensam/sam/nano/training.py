"""One term of teaching a SAM on generated scenes: clicks and boxes to masks, resumable to the same weights."""

import csv
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader

from sensam.errors import InputError
from sensam.sam.hidden import is_hidden
from sensam.sam.model import Sam
from sensam.sam.nano.lessons import Course, Lesson, Lessons
from sensam.sam.nano.objective import ask_and_grade

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides what a term makes of its weights. The rate warms up, stays, falls slowly, and lands at zero."""

    courses: tuple[Course, ...]
    steps: int
    earlier: int  # steps of the terms before
    fall: tuple[int, int]  # steps between which the rate would fall to zero, were it not to land
    landing: int  # last steps, in which it does
    batch: int = 16  # images of 128 x 128 a step, or as many pixels at another size
    rate: float = 1e-3
    warm_up: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    seed: int = 0
    encoder_rests: bool = False  # prompts alone are learnt, for which a step costs a third

    def lasting(self, steps: int) -> Self:
        """The recipe for another length. A shorter one breaks off earlier; a longer one is stretched as a whole."""
        stretch = max(1.0, steps / self.steps)
        courses = tuple(replace(course, start=round(course.start * stretch)) for course in self.courses)
        begin, end = (round(step * stretch) for step in self.fall)
        landing = round(self.landing * stretch)
        return replace(self, steps=steps, courses=courses, fall=(begin, end), landing=landing)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        begin, end = self.fall
        slow, quick = (end - step) / (end - begin), (self.steps - step) / self.landing
        return self.rate * min((step + 1) / self.warm_up, 1.0, slow, quick)


def train(
    recipe: Recipe,
    folder: Path,
    sam: Sam,
    *,
    save_every: int = 200,
    compiled: bool = False,
    report: Report | None = None,
) -> Sam:
    """Teach `sam` to the end of the recipe, going on from `folder` when an earlier run was stopped.

    With a `compiled` decoder a step takes a quarter less, once the first of each shape has taken a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sam.to(device).train()  # before there are optimisers: what they remember of a parameter goes where it lies
    sam.vision_encoder.requires_grad_(not recipe.encoder_rests)
    optimisers = build_optimisers(sam, recipe)
    done = _resume(folder, recipe, sam, optimisers)
    # The fused kernel's backward is slow on CPU for 256 queries and 7 keys: with it a step takes a third longer.
    sam.mask_decoder.config._attn_implementation = "eager"
    if compiled:
        torch._dynamo.config.recompile_limit = 16  # three sizes of picture, three kinds of call
        sam.mask_decoder.compile(dynamic=False)
    started, marks = time.perf_counter(), _Marks()
    for step, lesson in zip(range(done, recipe.steps), _lessons(recipe, done), strict=True):
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate_at(step)
        with torch.autocast(device.type, torch.bfloat16):
            loss, grades = ask_and_grade(sam, _to(lesson, device), step_seed=(recipe.seed * 1_000_003 + step) % 2**63)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), recipe.clip)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        marks.add(grades)
        if (step + 1) % save_every == 0 or step + 1 == recipe.steps:
            row = {"step": step + 1, "rate": recipe.rate_at(step), **marks.means()}
            row["seconds_a_step"] = (time.perf_counter() - started) / (step + 1 - done)
            _log(folder, row)
            _save(folder, recipe, sam, optimisers, step + 1)
            if report:
                report(row)
    return sam.eval()


def _lessons(recipe: Recipe, start: int) -> Iterator[Lesson]:
    dataset = Lessons(recipe.seed, recipe.batch, recipe.courses, recipe.steps, recipe.earlier)
    workers = min(4, max(1, (os.cpu_count() or 2) // 2))
    order = range(start, recipe.steps)
    return iter(DataLoader(dataset, batch_size=None, sampler=order, num_workers=workers, prefetch_factor=4))


def _to(lesson: Lesson, device: torch.device) -> Lesson:
    parts: dict[str, Any] = {field.name: getattr(lesson, field.name) for field in fields(lesson)}
    parts |= {name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor)}
    return Lesson(**parts)


def build_optimisers(sam: Sam, recipe: Recipe) -> list[Optimizer]:
    """Muon for the matrices of hidden layers, Adam for everything else; only matrices decay.

    In 75 steps Muon reached twice Adam's one-click IoU at the same rate and cost.
    """
    if not hasattr(torch.optim, "Muon"):
        raise InputError(f"Teaching nano needs torch 2.9 or newer for its optimiser Muon, found {torch.__version__}.")
    hidden: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in sam.named_parameters():
        if parameter.requires_grad:
            (hidden if is_hidden(name, parameter) else others).append(parameter)
    return [
        torch.optim.Muon(hidden, lr=recipe.rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(others, lr=recipe.rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def _save(folder: Path, recipe: Recipe, sam: Sam, optimisers: list[Optimizer], step: int) -> None:
    state = {
        "recipe": asdict(recipe),
        "sam": sam.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "step": step,
    }
    unfinished = folder / "last.pt.part"  # always the same: the next writes over what a kill leaves
    torch.save(state, unfinished)
    unfinished.replace(folder / "last.pt")


def read_checkpoint(folder: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The last checkpoint, on the CPU wherever it was made; None before the first. One of another recipe is refused."""
    path = folder / "last.pt"
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    theirs, ours = state["recipe"], asdict(recipe)
    differing = [key for key in ours if ours[key] != theirs.get(key)]
    if differing:
        raise InputError(
            f"{folder} holds a run with another recipe ({', '.join(f'{k}={theirs.get(k)}' for k in differing)}). "
            "Choose another folder, or the same recipe."
        )
    return state


def _resume(folder: Path, recipe: Recipe, sam: Sam, optimisers: list[Optimizer]) -> int:
    """Load the last checkpoint; the number of steps it has done."""
    state = read_checkpoint(folder, recipe)
    if state is None:
        return 0
    sam.load_state_dict(state["sam"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return int(state["step"])


def _log(folder: Path, row: dict[str, float]) -> None:
    path = folder / "curve.csv"
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, row)
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})


class _Marks:
    """Running means of what the loss reports."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, grades: dict[str, Tensor]) -> None:
        for name, value in grades.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value)
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The means since the last call. Kinds of question that were not asked are NaN, so that columns stay."""
        names = ("loss", "grouping", "click_iou", "box_iou", "single_iou", "corrected_iou")
        row = {name: self.sums.get(name, float("nan")) / self.counts.get(name, 1) for name in names}
        self.sums, self.counts = {}, {}
        return row
