"""`sensam check`: look at every file of a data set, tell what is there, and what is wrong with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sensam.data.checks import Inspection
    from sensam.data.dataset import Dataset


def check(
    dataset: Annotated[Path, typer.Argument(help="A folder with images and masks, or a dataset.yaml.")],
    write: Annotated[bool, typer.Option(help="Write the dataset.yaml of a folder that has none.")] = False,
    contact: Annotated[
        Path | None, typer.Option(help="Draw a contact sheet: images, labels, histograms.", metavar="FILE.png")
    ] = None,
) -> None:
    """Look at every file of a data set: what is there, and what is wrong with it.

    Exit code 1 if there is an error. Warnings may be meant so.

    Example: [bold]sensam check my-data --write --contact sheet.png[/bold]
    """
    from sensam.cli.console import open_console
    from sensam.data.checks.report import print_report
    from sensam.data.dataset import open_dataset
    from sensam.data.layout import FILE_NAME
    from sensam.data.settings_text import write_guess

    console = open_console()
    if write:
        console.print(f"wrote {write_guess(dataset)}; look at it, and give the classes their names\n", soft_wrap=True)
    elif dataset.is_dir() and not (dataset / FILE_NAME).is_file():
        console.print(f"there is no {FILE_NAME}; what follows is guessed (--write keeps it)\n")
    inspection = _inspect(open_dataset(dataset), console)
    print_report(inspection, console)
    if contact is not None:
        from sensam.data.contact import draw_contact_sheet

        console.print(f"drew {draw_contact_sheet(inspection.survey, contact)}", soft_wrap=True)
    if inspection.errors:
        raise typer.Exit(1)


def _inspect(dataset: "Dataset", console: "Console") -> "Inspection":
    """With a bar of progress, where somebody is watching."""
    from rich.progress import Progress

    from sensam.data.checks import inspect

    total = sum(len(items) for items in dataset.splits.values())
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=total)
        return inspect(dataset, lambda _: progress.advance(task))
