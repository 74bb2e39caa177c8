"""`sensam demo`: the whole road in minutes, without any data or download."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.evaluate.walk import Walk


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for data, runs, maps and the picture; made when absent.")],
    teacher: Annotated[
        str, typer.Option(help="The SAM to inherit from: nano, b, l, h, a hub id, a folder, or a .pth file.")
    ] = "nano",
    quick: Annotated[bool, typer.Option("--quick", help="A minute's version: too short for an effect.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of scenes and training.")] = 0,
) -> None:
    """Generate 16-band scenes, inherit from SAM without labels, learn from forty, map a scene; OUT/demo.png.

    Example: [bold]sensam demo demo/[/bold]
    """
    from sensam.evaluate.figures import prepare_folder
    from sensam.evaluate.walk import Budget, walk

    started = time.monotonic()
    prepare_folder(out)
    small = {"unlabelled": 8, "labelled": 2, "val": 2, "test": 2, "size": 64, "window": 64, "scene": 128}
    budget = Budget(seed=seed, **small, inherit_steps=4, learn_steps=4) if quick else Budget(seed=seed)
    walked = walk(out, budget, teacher=teacher, say=typer.echo)
    _print_table(walked)
    for name, file in walked.files.items():
        typer.echo(f"map by {name}: {file}")
    typer.echo(f"wrote {walked.picture} in {(time.monotonic() - started) / 60:.1f} minutes")


def _print_table(walked: "Walk") -> None:
    from rich.console import Console
    from rich.table import Table

    from sensam.evaluate.walk import NAMES
    from sensam.train.confusion import MIOU_MEANS

    classes = next(iter(walked.scores.values())).classes
    table = Table("", "mIoU", "accuracy", *(f"IoU {name}" for name in classes), box=None, pad_edge=False)
    for name, score in walked.scores.items():
        found = score.confusion
        values = [found.miou, found.allacc, *found.iou_K]
        table.add_row(NAMES[name], *(f"{value:.3f}" for value in values))
    Console(highlight=False).print(table)
    typer.echo(MIOU_MEANS)
