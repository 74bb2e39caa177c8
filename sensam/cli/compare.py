"""`sensam compare`: which way of adapting SAM works best on a data set, at an equal budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sensam.evaluate.compare.plan import Plan

METHODS = "scratch,sam3,resam,repe,e2sam,cwsam,unet"
SEEDS, STEPS = 3, 400


def compare(
    context: typer.Context,
    data: Annotated[Path, typer.Argument(help="A data set, or the YAML of a plan.")],
    methods: Annotated[str, typer.Option(help="What to compare, by commas.")] = METHODS,
    seeds: Annotated[int, typer.Option(min=1, help="How often each is trained.")] = SEEDS,
    shares: Annotated[str, typer.Option(help="Parts of the labels to learn from, by commas.")] = "1",
    steps: Annotated[int | None, typer.Option(min=1, help="On labels, for each.", show_default=str(STEPS))] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Of training on labels, instead of steps.")] = None,
    teacher: Annotated[str, typer.Option(help="SAM: nano, b, l, h, a hub id, a folder, or a .pth.")] = "nano",
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="More of the plan: train.size=128, inherit_steps=800."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the comparison; the same one goes on with it.")] = Path(
        "runs/compare"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="32 or bf16.")] = "32",
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="Compute cells, write no report.")] = False,
) -> None:
    """Train every method with every seed and share of the labels at an equal budget, and say which to take.

    Stopped at any time, the same command goes on. Started again elsewhere on the same --out, it shares the work.

    Example: [bold]sensam compare my-data --methods scratch,resam,e2sam --seeds 3 --steps 400 --jobs 2[/bold]
    """
    from sensam.config import MachineSettings, override, read_settings, validate

    values = _values(data, read_settings)
    if values:
        _refuse_flags(context, data)
    else:
        both = {"steps": steps, "minutes": minutes}
        budget = {name: value for name, value in both.items() if value is not None} or {"steps": STEPS}
        names = [name.strip() for name in methods.split(",") if name.strip()]
        parts = [float(part) for part in _numbers(shares)]
        values = {"data": str(data), "methods": names, "seeds": seeds, "shares": parts, "teacher": teacher, **budget}

    from sensam.evaluate.compare.plan import parse_plan

    plan = parse_plan(override(values, assign or []), str(data))
    machine = validate(MachineSettings, {"accelerator": accelerator, "precision": precision}, "machine")
    _run(plan, out, machine, jobs=jobs, retry=retry, worker=worker)


def _run(plan: "Plan", out: Path, machine: Any, *, jobs: int, retry: bool, worker: bool) -> None:
    from sensam.evaluate.compare.gather import gather, report
    from sensam.evaluate.compare.runner import forget_failures, open_bench, prepare, work_together
    from sensam.files import try_place
    from sensam.train.display import Display

    try_place(out / "plan.yaml")
    plan = prepare(plan, out)
    if retry:
        forget_failures(out)
    work_together(open_bench(plan, out, machine, Display(None)), jobs, typer.echo)
    if worker:
        return
    outcome = gather(plan, out)
    page = report(plan, out, outcome)
    _print(plan, outcome, page)


def _print(plan: "Plan", outcome: Any, page: Path) -> None:
    from sensam.evaluate.answer import headline, ranking_lines, recommend
    from sensam.evaluate.triples import over_triples
    from sensam.train.confusion import MIOU_MEANS

    typer.echo("")
    for line in [*ranking_lines(outcome), *over_triples(plan, outcome)]:
        typer.echo(line)
    if outcome.classes:
        typer.echo(MIOU_MEANS)
    for line in outcome.skipped:
        typer.echo(f"left out: {line}")
    choice = recommend(outcome)
    typer.echo(f"\n{headline(outcome)}\nTake {choice.entry}. {choice.reason}\n  {choice.command}\nwrote {page}")


def _values(data: Path, read: Any) -> dict[str, Any]:
    """The plan in a YAML; nothing where it is a data set."""
    if data.suffix not in {".yaml", ".yml"}:
        return {}
    values = read(data)
    return values if "data" in values else {}


def _refuse_flags(context: typer.Context, plan: Path) -> None:
    """An error where a flag and the plan both settle something: neither may lose unsaid."""
    from sensam.errors import SettingsError

    for name in ("methods", "seeds", "shares", "steps", "minutes", "teacher"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            value = context.params[name]
            raise SettingsError(
                f"{plan} is a plan, and --{name} is part of it. Change it there{_setting(name, value)}."
            )


def _setting(name: str, value: Any) -> str:
    return f", or use --set {name}={value}" if name in ("seeds", "steps", "minutes", "teacher") else ""


def _numbers(text: str) -> list[str]:
    from sensam.errors import SettingsError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.replace(".", "", 1).isdecimal() for part in parts):
        raise SettingsError(f"--shares {text} cannot be read. Write parts of the labels as 0.1,0.3,1")
    return parts
