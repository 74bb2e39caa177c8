"""`sensam teacher`: make the built-in teacher from nothing, and score it or any other SAM."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sensam.cli.loading import load_shown

if TYPE_CHECKING:
    from rich.text import Text

    from sensam.evaluate.clicks import Score
    from sensam.evaluate.contest import Contest
    from sensam.evaluate.demonstration import Answer

PICTURE = "teacher.png"

teacher = typer.Typer(
    help="Make the built-in teacher from nothing, and score it.\n\nExample: [bold]sensam teacher score[/bold]"
)


@teacher.command()
def train(
    out: Annotated[Path, typer.Argument(help="Folder for checkpoints, the curves and at the end the model.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Length of each term, if not the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")] = 0,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the decoder: faster after ten minutes, needs a C++ compiler.")
    ] = False,
) -> None:
    """Teach nano on generated scenes in three terms, by the recipe of the weights that ship. A stopped run goes on.

    Example: [bold]sensam teacher train runs/nano[/bold]
    """
    from rich.console import Console

    from sensam.evaluate.figures import prepare_folder
    from sensam.run.folder import check_free
    from sensam.sam.nano.terms import teach
    from sensam.sam.weights import save_sam

    if not (out / "term-1").is_dir():
        check_free(out, ("model", "run.yaml"), "a teacher's terms")
    prepare_folder(out)
    console = Console()

    def report(term: int, row: dict[str, float], left: float) -> None:
        console.print(
            f"term {term} step {row['step']:.0f}  loss {row['loss']:.3f}  IoU: click {row['click_iou']:.3f}  "
            f"box {row['box_iou']:.3f}  corrected {row['corrected_iou']:.3f}  {left / 60:.0f} min of it left"
        )

    sam = teach(out, steps=steps, seed=seed, compiled=compiled, report=report)
    save_sam(sam, out / "model", half=True)
    console.print(f"The model is in {out / 'model'}: use it with --teacher {out / 'model'}")


@teacher.command()
def score(
    source: Annotated[str, typer.Option("--teacher", help="nano, a hub id, a folder, or Meta's .pth.")] = "nano",
    scenes: Annotated[int, typer.Option(min=1, help="Held-out generated scenes to score on.")] = 500,
    photos: Annotated[
        Path | None, typer.Option(help="Folder with images/*.jpg and segs/*.npz (Berkeley's layout).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this JSON file.")] = None,
) -> None:
    """One-click and box IoU of a SAM, beside flood fill at its best tolerance and the same SAM untrained.

    Example: [bold]sensam teacher score --photos data/bsds/val[/bold]
    """
    from sensam.evaluate.clicks import generated, photographs
    from sensam.evaluate.contest import contest, write_json

    if out is not None:
        _check_file(out)
    pictures = {"photographs": list(photographs(photos))} if photos is not None else {}  # read before an hour is spent
    sam = load_shown(source)
    pictures = {f"{scenes} generated scenes": list(generated(scenes)), **pictures}
    results = {}
    for title, asked in pictures.items():
        results[title] = contest(sam, asked)
        _print_scores(title, results[title])
    if out is not None:
        write_json(out, source, results)


def _check_file(path: Path) -> None:
    """An error where no file can be written; its folder is made."""
    from sensam.errors import InputError
    from sensam.evaluate.figures import prepare_folder

    if path.is_dir():
        raise InputError(f"--out {path} is a folder, a file was needed. Add a name, as in {path / 'scores.json'}.")
    prepare_folder(path.parent)


def _print_scores(title: str, found: "Contest") -> None:
    from rich.console import Console
    from rich.table import Table

    asked = found.leads[0].box.regions
    table = Table("", "one click", "box", title=f"{title}: mean IoU of {asked} regions [95 %]")
    for row in found.entries:
        table.add_row(row.name, *(_cell(score, "") if score else "" for score in (row.click, row.box)))
    ahead = Table("", "ahead by", title=f"{found.entries[0].name} and its rivals, region by region [95 %]")
    for rival in found.leads:
        for kind, lead in (("one click", rival.click), ("box", rival.box), ("a closer look", rival.closer)):
            if lead:
                ahead.add_row(f"{kind}, over {rival.over}", _cell(lead, "+"))
    console = Console()
    console.print(table)
    console.print(ahead)


def _cell(score: "Score", sign: str) -> "Text":
    from rich.text import Text

    return Text(f"{score.mean:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]", no_wrap=True)


@teacher.command()
def show(
    out: Annotated[Path, typer.Argument(help="Folder for the picture; made when absent.")],
    source: Annotated[
        str, typer.Option("--teacher", help="nano, b, l, h, a hub id, a folder, or a .pth file.")
    ] = "nano",
    scenes: Annotated[int, typer.Option(min=1, max=12, help="How many scenes.")] = 4,
    first: Annotated[int, typer.Option(min=0, help="Number of the first scene; another one shows others.")] = 0,
) -> None:
    """Segment generated scenes by clicks, by boxes and without any prompt; writes OUT/teacher.png.

    Example: [bold]sensam teacher show pictures/[/bold]
    """
    from sensam.evaluate.demonstration import ask, demo_scenes, draw_answers
    from sensam.evaluate.figures import prepare_folder, save_figure
    from sensam.infer.promptable import Predictor

    prepare_folder(out)
    predictor = Predictor(load_shown(source))
    answers = [ask(predictor, scene) for scene in demo_scenes(scenes, first)]
    save_figure(draw_answers(answers), out / PICTURE)
    _print_answers(answers, first)
    typer.echo(f"wrote {out / PICTURE}")


def _print_answers(answers: "list[Answer]", first: int) -> None:
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
