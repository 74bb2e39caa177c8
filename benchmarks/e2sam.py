"""E2SAM against its baselines at one budget: generated scenes and small real sets, shares of the labels, seeds.

For every data set: a comparison as `sensam compare` makes it (every entry learns from the same windows in the same
order; the test split is opened when all training is over), and the error while inheriting. On some also: longer
inheritance, day to night, one click without any label, and with --long missing bands. Means with deviations, never
single runs.

python benchmarks/e2sam.py                      all sets, ninety minutes on two cores; it may be stopped and goes on
python benchmarks/e2sam.py --quick              seafog alone, little of everything, minutes: shows that it runs
python benchmarks/e2sam.py --scant              the real sets with a tenth and a hundredth of their labels, as long
python benchmarks/e2sam.py --long               longer lessons and every entry on every set: hours
python benchmarks/e2sam.py --sets water12_hls mri3_lgg --steps 400 --inherit-steps 2000 --out runs/other
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import torch
from e2sam_beyond import clicks_without_labels, inheritance_curve, missing_bands
from e2sam_data import GENERATED, prepare
from e2sam_margins import beside_single_pixels, margins
from e2sam_plan import FULL, INHERITED, LONG, MISSING, NECK, QUICK, SCANT, SETS, Extent, Lesson, make_plan
from measuring import machine, physical_cores

from sensam.config import MachineSettings
from sensam.data.dataset import open_dataset
from sensam.evaluate.answer import headline, ranking_lines
from sensam.evaluate.compare import runner
from sensam.evaluate.compare.gather import gather, report
from sensam.evaluate.compare.plan import CONTROL, Cell, Plan, inheritance_folder
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.triples import over_triples
from sensam.files import write_text
from sensam.run import Model, load
from sensam.sam.weights import load_sam
from sensam.train.confusion import MIOU_MEANS
from sensam.train.display import Display

Say = Callable[[str], None]
OF_A_SET = {  # what the command line can settle for all sets alike
    "steps": "on labels, for every entry",
    "inherit_steps": "without labels",
    "size": "of windows that are learnt with labels",
    "batch": "windows in a step on labels",
}


def contest(plan: Plan, folder: Path, settings: MachineSettings, jobs: int, say: Say) -> tuple[Plan, Outcome]:
    """Train, validate, then test every entry; what was finished before is not done again."""
    plan = runner.prepare(plan, folder)
    bench = runner.open_bench(plan, folder, settings, Display(None))
    runner.work_together(bench, jobs, lambda line: print(f"  {line}", flush=True))
    outcome = gather(plan, folder)
    page = report(plan, folder, outcome)
    control = f", {CONTROL} with" if CONTROL in plan.entries else ""
    windows = _windows(plan.train.size, plan.train.batch)
    before = f"e2sam {plan.inherit_steps} without before{control}"
    say(f"{plan.steps} steps of {windows} on labels for every entry; {before}.")
    if outcome.full < 1:
        say(f"with {100 * outcome.full:g} % of the labels:")
    for line in [*ranking_lines(outcome), MIOU_MEANS, headline(outcome), *over_triples(plan, outcome)]:
        say(line)
    for share in sorted(plan.shares):
        if share < outcome.full:
            curves = {entry: outcome.curve(entry).get(share) for entry in outcome.entries}
            points = (f"{e} {100 * c[0]:.1f} ± {100 * c[1]:.1f}" for e, c in curves.items() if c is not None)
            say(f"{100 * share:g} % of the labels: {'; '.join(points)}")
    margins(outcome, say)
    print(f"all numbers: {page}")
    return plan, outcome


def _windows(size: int, batch: int) -> str:
    return f"{batch} windows of {size} pixels"


def by_domain(outcome: Outcome, say: Say) -> None:
    """Table 2's question: what is left when light changes."""
    names = list(outcome.domain_scores(outcome.entries[0]))
    say(f"\ndomains: mIoU on {', '.join(names)}")
    for entry in outcome.entries:
        scores = outcome.domain_scores(entry)
        say(f"  {entry:<28}" + "".join(f"{100 * m:>10.1f} ± {100 * d:.1f}" for m, d in scores.values()))


def students(plan: Plan, folder: Path, entry: str) -> list[Model]:
    """An entry as it was before it saw a label, of every seed."""
    return [load(inheritance_folder(folder, entry, seed)) for seed in plan.seeds]


def finished(plan: Plan, folder: Path, entry: str) -> list[Model]:
    """An entry after fine-tuning with all labels, of every seed."""
    return [load(folder / "runs" / Cell(entry, seed, 1.0).name) for seed in plan.seeds]


def beyond(name: str, plan: Plan, folder: Path, outcome: Outcome, extent: Extent, say: Say) -> None:
    """What a ranking of class maps does not show."""
    dataset = open_dataset(plan.data)
    if "e2sam" in plan.entries:
        inheritance_curve([inheritance_folder(folder, "e2sam", seed) / "log.csv" for seed in plan.seeds], say)
    if name not in GENERATED:
        return
    by_entry = {entry: students(plan, folder, entry) for entry in ("e2sam", NECK) if entry in plan.entries}
    if by_entry:
        sam = load_sam(plan.teacher)
        clicks_without_labels(sam, by_entry, dataset, candidates=extent.candidates, most=extent.looked_at, say=say)
    if MISSING in plan.entries:
        both = [entry for entry in ("e2sam", MISSING) if entry in plan.entries]
        missing_bands({entry: finished(plan, folder, entry) for entry in both}, dataset, say)
    if name == "drive":
        by_domain(outcome, say)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    extent = parser.add_mutually_exclusive_group()
    choose = partial(extent.add_argument, dest="extent", action="store_const", default=FULL)
    choose("--quick", const=QUICK, help="seafog alone and little of everything")
    choose("--scant", const=SCANT, help="real sets with a tenth and a hundredth of their labels")
    choose("--long", const=LONG, help="longer lessons and every entry on every set")
    parser.add_argument("--sets", nargs="+", choices=SETS, help="all of them by default")
    parser.add_argument("--entries", nargs="+", default=(), help="only these; the folder must not hold others")
    for name, meaning in OF_A_SET.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"{meaning}; otherwise as a set needs")
    for each in fields(Lesson):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default)
    parser.add_argument("--precision", choices=["32", "bf16"], default="bf16", help="of training, for every entry")
    parser.add_argument("--jobs", type=int, default=physical_cores(), help="processes, which divide the cores")
    parser.add_argument("--out", type=Path, help="the same folder goes on", default=Path("runs/benchmarks"))
    parser.add_argument("--output", type=Path, help="a .md for what is printed")
    return parser.parse_args()


def asked_for(arguments: argparse.Namespace) -> Extent:
    """The extent with what the command line says instead."""
    extent: Extent = arguments.extent
    given = {name: getattr(arguments, name) for name in OF_A_SET}
    same = {name: value for name, value in given.items() if value is not None}
    courses = {name: replace(course, **same) for name, course in extent.courses.items()}
    sets, only = tuple(arguments.sets or extent.sets), tuple(arguments.entries or extent.only)
    return replace(extent, courses=courses, sets=sets, only=only)


def _say(lines: list[str], line: str) -> None:
    lines.append(line)
    print(line, flush=True)


def main() -> None:
    arguments = parse()
    started = time.monotonic()
    torch.set_num_threads(physical_cores())
    extent = asked_for(arguments)
    lesson = Lesson(**{each.name: getattr(arguments, each.name) for each in fields(Lesson)})
    home = arguments.out / f"e2sam-{extent.name}"
    lines = ["# E2SAM against its baselines\n"]
    say = partial(_say, lines)
    for fact, value in machine("cpu").items():
        say(f"{fact}: {value}  ")
    inherited = _windows(INHERITED["size"], INHERITED["batch"])
    say(f"extent {extent.name}; teacher {lesson.teacher}; inheritance in {inherited}")
    settings = MachineSettings(accelerator="cpu", precision=arguments.precision)
    for name in extent.sets:
        data = prepare(name, home / "data", quick=extent.name == QUICK.name)
        folder = home / name
        say(f"\n## {name}\n\n```")  # a fence keeps columns
        plan, outcome = contest(make_plan(name, data, extent, lesson), folder, settings, arguments.jobs, say)
        beside_single_pixels(name, data, outcome, say)
        beyond(name, plan, folder, outcome, extent, say)
        say("```")
        say(f"\n{(time.monotonic() - started) / 60:.0f} minutes since this command began, {arguments.jobs} processes.")
        if arguments.output:
            write_text(arguments.output, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
