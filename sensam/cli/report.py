"""`sensam report`: one page about a training run or a comparison, for a browser or a printer."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a `sensam train` or a `sensam compare`.")],
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, auto.")] = "auto",
) -> None:
    """Write FOLDER/report.html: what was reached, curves, classes, pictures, settings; it opens without a network.

    A run is shown on its validation split. A comparison that is not finished is shown on validation too.

    Example: [bold]sensam report runs/mine[/bold]
    """
    if (folder / "plan.yaml").is_file():
        typer.echo(f"wrote {_of_comparison(folder)}")
        return
    from sensam.evaluate.report.single import write_run_report
    from sensam.infer.voting import find_device

    typer.echo(f"wrote {write_run_report(folder, device=find_device(device))}")


def _of_comparison(folder: Path) -> Path:
    from sensam.evaluate.compare.gather import gather, report
    from sensam.evaluate.compare.plan import read_plan

    plan = read_plan(folder / "plan.yaml")
    is_tested = any((folder / "cells").glob("*.test.json"))
    return report(plan, folder, gather(plan, folder, "test" if is_tested else "val"))
