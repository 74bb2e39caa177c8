"""`sensam stats`: measure every band on the training split, and write the normalisation into the data set."""

from pathlib import Path
from typing import Annotated

import typer


def stats(
    dataset: Annotated[Path, typer.Argument(help="A folder with a dataset.yaml, or the dataset.yaml itself.")],
    split: Annotated[str, typer.Option(help="The split to measure; never one that is used for testing.")] = "train",
    dry: Annotated[bool, typer.Option("--dry", help="Print, and write nothing.")] = False,
) -> None:
    """Measure mean, deviation, range and percentiles of every band, and write them into dataset.yaml.

    Only valid pixels count, in physical units. Comments and the order of the file stay as they are.

    Example: [bold]sensam stats my-data[/bold]
    """
    from rich.progress import Progress
    from rich.table import Table

    from sensam.cli.console import open_console
    from sensam.data.dataset import open_dataset
    from sensam.data.measure import measure
    from sensam.data.settings_text import settings_file, write_statistics
    from sensam.errors import SettingsError

    if split == "test" and not dry:
        raise SettingsError(
            "Statistics of the split test would let training see it, so they are not written. "
            "Measure the training split, or add --dry to print them only."
        )
    console = open_console()
    opened = open_dataset(dataset)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=len(opened.items(split)))
        found = measure(opened, split, lambda _: progress.advance(task))
    table = Table("band", "unit", "mean", "std", "min", "max", box=None, pad_edge=False, header_style="dim")
    for band in opened.sensor.bands:
        each = found[band.name]
        numbers = (f"{value:.6g}" for value in (each.mean, each.std, each.min, each.max))
        table.add_row(band.name, band.unit, *numbers)
    console.print(table)
    if not dry:
        path = settings_file(dataset)
        write_statistics(path, found, split)
        console.print(f"wrote statistics of {len(opened.items(split))} images into {path}", soft_wrap=True)
