"""`sensam demo`: see a SAM segment generated scenes, without any data or download."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.evaluate.demonstration import Answer

PICTURE = "demo.png"


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for the picture; made when absent.")],
    teacher: Annotated[
        str, typer.Option(help="The SAM to show: nano, b, l, h, a hub id, a folder, or a .pth file.")
    ] = "nano",
    scenes: Annotated[int, typer.Option(min=1, max=12, help="How many scenes.")] = 4,
    first: Annotated[int, typer.Option(min=0, help="Number of the first scene; another one shows others.")] = 0,
) -> None:
    """Segment generated scenes by clicks, by boxes and without any prompt; writes OUT/demo.png.

    Example: [bold]sensam demo demo/[/bold]
    """
    from sensam.evaluate.demonstration import ask, demo_predictor, demo_scenes, draw_answers
    from sensam.evaluate.figures import prepare_folder, save_figure
    from sensam.sam.weights import load_sam

    prepare_folder(out)
    predictor = demo_predictor(load_sam(teacher))
    answers = [ask(predictor, scene) for scene in demo_scenes(scenes, first)]
    save_figure(draw_answers(answers), out / PICTURE)
    _print_table(answers, first)
    typer.echo(f"wrote {out / PICTURE}")


def _print_table(answers: "list[Answer]", first: int) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    table = Table("scene", "regions asked", "one-click IoU", "box IoU", "masks of everything", box=None, pad_edge=False)
    for number, answer in enumerate(answers, first):
        means = (f"{values.mean():.2f}" for values in (answer.click_iou_N, answer.box_iou_N))
        table.add_row(str(number), str(len(answer.clicks_N2)), *means, str(len(answer.everything)))
    click, box = (
        np.concatenate([getattr(answer, name) for answer in answers]).mean() for name in ("click_iou_N", "box_iou_N")
    )
    table.add_row("all", str(sum(len(answer.clicks_N2) for answer in answers)), f"{click:.2f}", f"{box:.2f}")
    Console(highlight=False).print(table)
