"""`sensam train`: teach a method on a data set, stage by stage; a stopped run goes on where it was."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensam.cli.training import Accelerator, Devices, Nodes, Precision, Resume, Seed, Teacher, on_machine, recorded

if TYPE_CHECKING:
    from rich.console import Console


def train(
    data: Annotated[
        Path | None, typer.Argument(help="A dataset.yaml, or a folder with images and masks.", show_default=False)
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="A published method, or module:Class for your own.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/last")] = None,
    teacher: Teacher = None,
    seed: Seed = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any setting: train.rate=1e-3, stages.inherit.epochs=5, settings...."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Start from the settings in a run.yaml.", show_default=False)
    ] = None,
    resume: Resume = False,
    devices: Devices = None,
    accelerator: Accelerator = None,
    nodes: Nodes = None,
    precision: Precision = None,
) -> None:
    """Teach a method on a data set, stage by stage, into a run folder; --resume goes on after any interruption.

    Example: [bold]sensam train my-data --method e2sam --set train.epochs=20 --out runs/mine[/bold]
    """
    from sensam.config import RunSettings, loosened, override, read_settings, validate

    values: dict[str, Any] = {}
    if config is not None:
        values = loosened(read_settings(config), assign or [])
    elif resume:
        values = recorded(
            out or Path("runs/last"),
            assign or [],
            needed=data is None or method is None,
            command="sensam train DATA --method NAME",
        )
    given = {"data": data and str(data), "method": method, "teacher": teacher, "seed": seed, "out": out and str(out)}
    values |= {name: value for name, value in given.items() if value is not None}
    machine = on_machine(devices=devices, accelerator=accelerator, nodes=nodes, precision=precision)
    settings = validate(RunSettings, override(values, [*machine, *(assign or [])]), "settings")

    from rich.console import Console

    from sensam.run.training import run
    from sensam.train.display import Display

    console = Console(highlight=False)
    model = run(settings, resume=resume, display=Display(console))

    from lightning_fabric.utilities.rank_zero import rank_zero_only

    # Of many processes the first: all would write the same files.
    rank_zero_only(_report)(Path(settings.out), str(model.device), console)


def _report(folder: Path, device: str, console: "Console") -> None:
    """The page about a finished run, scored where it was trained; imported now, because training needs no plots."""
    from sensam.errors import SensamError
    from sensam.evaluate.report.single import write_run_report

    try:
        console.print(f"the report is {write_run_report(folder, device=device)}", soft_wrap=True)
    except SensamError as reason:  # the model is trained and saved: what cannot be drawn must not look like a failure
        console.print(f"no report: {reason}", soft_wrap=True)
