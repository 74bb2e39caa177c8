"""E2SAM against its baselines at one budget: generated scenes and small real sets, shares of the labels, seeds.

For every data set: a comparison as `sensam compare` makes it (every entry learns from the same windows in the same
order; the test split is opened when all training is over). On generated scenes also: the error while inheriting,
longer inheritance, day to night, one click without any label, missing bands. Means with deviations, never single runs.

python benchmarks/e2sam.py                      everything, hours on two cores; it may be stopped and goes on
python benchmarks/e2sam.py --quick              seafog alone, little of everything, minutes: shows that it runs
python benchmarks/e2sam.py --sets water12_hls mri3_lgg --steps 400 --inherit-steps 2000
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from e2sam_beyond import clicks_without_labels, inheritance_curve, missing_bands
from e2sam_data import GENERATED, SCENES, TILES, prepare
from e2sam_margins import beside_single_pixels, margins
from measuring import machine, physical_cores

from sensam.config import MachineSettings
from sensam.data.dataset import open_dataset
from sensam.evaluate.answer import headline, ranking_lines
from sensam.evaluate.compare import runner
from sensam.evaluate.compare.gather import gather, report
from sensam.evaluate.compare.plan import CONTROL, Cell, Plan, inheritance_folder, parse_plan
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.triples import over_triples
from sensam.evaluate.walk import GENTLE, LOSS
from sensam.run import Model, load
from sensam.sam.weights import load_sam
from sensam.train.display import Display

METHODS = ("scratch", "sam3", "resam", "repe", "e2sam", "unet")
SHARES = {"seafog": (1.0, 0.1, 0.01), "water12_hls": (1.0, 0.1)}  # of the labels; a hundredth of 95 tiles is one
KNOWING = ("sam3", "resam", "e2sam")  # their encoders come from SAM or have inherited from it
# Steps on labels: so many that methods can be told apart. Ten classes of very different size in 95 tiles take longer
# than two do: by validation E2SAM had 0.18 after 400 steps, 0.25 after 800, 0.29 after 2000.
ON_GENERATED, ON_REAL = 250, 400
STEPS = {**dict.fromkeys(GENERATED, ON_GENERATED), "worldcover12_hls": 2000}
MISSING = "e2sam, bands go missing"
TRIPLES = (("B03", "B02", "B01"), ("B07", "B06", "B05"), ("B14", "B04", "B03"))  # of sea fog
# Entries that also inherit for a part of the steps. On land cover inheritance counts most, and `detail` shows it.
PARTS = {"a quarter": 4, "half": 2}
SHORTENED = {"seafog": ("e2sam", ("a quarter",)), "worldcover12_hls": ("e2sam, detail", ("a quarter", "half"))}
DAYTIME = ("scratch", "repe", "e2sam")  # entries of `drive` that also learn by day alone
DETAILED = ("scratch", "e2sam")  # entries that are also tried with a decoder that sees pixels
Say = Callable[[str], None]


def entries(name: str, settings: dict[str, Any], inherit_steps: int) -> dict[str, Any]:
    """The contestants on a data set; the control is added by the comparison."""
    found: dict[str, Any] = {method: {"method": method, "settings": recipe(method)} for method in METHODS}
    settings = {**recipe("e2sam"), **settings}
    found["e2sam"]["settings"] = settings
    for method in DETAILED:
        found[f"{method}, detail"] = {"method": method, "settings": {**found[method]["settings"], "detail": True}}
    found["e2sam, detail"]["students_of"] = "e2sam"
    if name == "seafog":
        found[MISSING] = once("e2sam", {**settings, "band_dropout": 0.3})
        for triple in TRIPLES:  # "C3*"
            found[f"sam3, {' '.join(triple)}"] = once("sam3", {**recipe("sam3"), "triple": triple})
    if name in SHORTENED:
        whole, parts = SHORTENED[name]
        for words in parts:
            steps = max(1, inherit_steps // PARTS[words])
            shorter = once("e2sam", found[whole]["settings"]) | {"inherit_steps": steps}
            found[f"{whole}, {words} of inheritance"] = shorter
    if name == "drive":
        for method in DAYTIME:
            found[f"{method}, day alone"] = {**found[method], "domains": ["daytime"]}
    return found


def once(method: str, settings: dict[str, Any]) -> dict[str, Any]:
    """An entry whose question is not one of few labels."""
    return {"method": method, "settings": settings, "shares": [1.0]}


def recipe(method: str) -> dict[str, Any]:
    """How a method learns from labels in a short run."""
    return {"loss": LOSS, **({"encoder_rate": GENTLE} if method in KNOWING else {})}


def make_plan(name: str, data: Path, arguments: argparse.Namespace) -> Plan:
    """One budget for all; only where labels are what is scarce are shares of them tried."""
    settings = {"triples": arguments.triples, "neck_loss": arguments.neck_loss, "log_picks": True}
    values = {
        "data": str(data),
        "entries": entries(name, settings, arguments.inherit_steps),
        "seeds": arguments.seeds,
        "shares": list(SHARES.get(name, (1.0,))) if not arguments.quick else [1.0],
        "steps": arguments.steps or STEPS.get(name, ON_REAL),
        "inherit_steps": arguments.inherit_steps,
        "inherit": {"optimiser": "muon"},
        "teacher": arguments.teacher,
        "train": {
            "size": arguments.size,
            "batch": arguments.batch,
            "rate": arguments.rate,
            "workers": 0,
            "validations": 5,
            "log_every": max(1, arguments.inherit_steps // 20),
        },
    }
    return parse_plan(values, f"the plan for {name}")


def contest(plan: Plan, folder: Path, settings: MachineSettings, jobs: int, say: Say) -> tuple[Plan, Outcome]:
    """Train, validate, then test every entry; what was finished before is not done again."""
    plan = runner.prepare(plan, folder)
    bench = runner.open_bench(plan, folder, settings, Display(None))
    runner.work_together(bench, jobs, lambda line: print(f"  {line}", flush=True))
    outcome = gather(plan, folder)
    page = report(plan, folder, outcome)
    say(f"{plan.steps} steps on labels for every entry; e2sam {plan.inherit_steps} without before; {CONTROL}: both.")
    for line in [*ranking_lines(outcome), headline(outcome), *over_triples(plan, outcome)]:
        say(line)
    for share in sorted(plan.shares):
        if share < 1:
            curves = {entry: outcome.curve(entry).get(share) for entry in outcome.entries}
            points = (f"{e} {100 * c[0]:.1f} ± {100 * c[1]:.1f}" for e, c in curves.items() if c is not None)
            say(f"{100 * share:g} % of the labels: {'; '.join(points)}")
    margins(outcome, say)
    print(f"all numbers: {page}")
    return plan, outcome


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


def beyond(name: str, plan: Plan, folder: Path, outcome: Outcome, arguments: argparse.Namespace, say: Say) -> None:
    """What a ranking of class maps does not show."""
    dataset = open_dataset(plan.data)
    logs = [inheritance_folder(folder, "e2sam", seed) / "log.csv" for seed in plan.seeds]
    inheritance_curve(logs, say)
    if name not in GENERATED:
        return
    inherited = students(plan, folder, "e2sam")
    sam = load_sam(plan.teacher)
    clicks_without_labels(sam, inherited, dataset, candidates=arguments.candidates, most=arguments.looked_at, say=say)
    if name == "seafog":
        missing_bands({entry: finished(plan, folder, entry) for entry in ("e2sam", MISSING)}, dataset, say)
    if name == "drive":
        by_domain(outcome, say)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=[*GENERATED, *TILES, *SCENES], help="all of them by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="on labels, for every entry; otherwise as a set needs")
    parser.add_argument("--inherit-steps", type=int, default=800, help="without labels")
    parser.add_argument("--size", type=int, default=64, help="pixels on a side of a window")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--triples", type=int, default=2, help="of each pass of the student")
    parser.add_argument("--neck-loss", type=float, default=0.0)
    parser.add_argument("--teacher", default="nano")
    parser.add_argument("--candidates", type=int, default=40, help="triples among which SAM's best is looked for")
    parser.add_argument("--looked-at", type=int, default=6, help="images by which it is chosen")
    parser.add_argument("--quick", action="store_true", help="seafog alone and little of everything")
    parser.add_argument("--precision", choices=["32", "bf16"], default="bf16", help="of training, for every entry")
    parser.add_argument("--jobs", type=int, default=physical_cores(), help="processes, which divide the cores")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/e2sam"), help="the same folder goes on")
    parser.add_argument("--output", type=Path, help="a .md for what is printed")
    quick = {"sets": ["seafog"], "steps": 40, "inherit_steps": 80, "candidates": 4, "looked_at": 2}
    if parser.parse_args().quick:
        parser.set_defaults(**quick)
    return parser.parse_args()


def _say(lines: list[str], line: str) -> None:
    lines.append(line)
    print(line, flush=True)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(physical_cores())
    lines = ["# E2SAM against its baselines\n"]
    say = partial(_say, lines)
    for fact, value in machine("cpu").items():
        say(f"{fact}: {value}  ")
    say(f"teacher {arguments.teacher}; steps of {arguments.batch} windows of {arguments.size} pixels")
    settings = MachineSettings(accelerator="cpu", precision=arguments.precision)
    for name in arguments.sets or [*GENERATED, *TILES, *SCENES]:
        data = prepare(name, arguments.out / "data", quick=arguments.quick)
        folder = arguments.out / name
        say(f"\n## {name}\n\n```")  # a fence keeps columns
        plan, outcome = contest(make_plan(name, data, arguments), folder, settings, arguments.jobs, say)
        beside_single_pixels(name, outcome, say)
        beyond(name, plan, folder, outcome, arguments, say)
        say("```")
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
