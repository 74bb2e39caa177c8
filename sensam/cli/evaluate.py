"""`sensam evaluate`: a trained model against the labels of a split, class by class."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sensam.evaluate.metrics import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, the folder of its run, or a hub id.")],
    data: Annotated[Path, typer.Argument(help="A dataset.yaml, or a folder with images and masks.")],
    split: Annotated[str, typer.Option(help="The split to score on.")] = "test",
    scoring: Annotated[
        str | None,
        typer.Option(
            help="strict, or an evaluator of the literature: e2sam, cwsam-paper, cwsam-full, cwsam-ignore-gt.",
            show_default="strict; e2sam for what it trained by protocol: paper",
        ),
    ] = None,
    left_out: Annotated[
        int | None, typer.Option(help="The class that such a scoring treats apart, by its number.")
    ] = None,
    clicks: Annotated[bool, typer.Option("--clicks", help="Score one click on each region instead of maps.")] = False,
    curve: Annotated[int, typer.Option(min=0, help="With --clicks: also after 1 to so many corrective clicks.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this .json, or images to a .csv.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, auto.")] = "auto",
    batch: Annotated[int | None, typer.Option(min=1, help="Windows at a time.", show_default="4")] = None,
) -> None:
    """Score a trained model on the labels of a split, class by class, from one matrix over all of its pixels.

    Example: [bold]sensam evaluate runs/mine my-data --split test --out scores.json[/bold]
    """
    import json
    from typing import get_args

    from rich.console import Console

    from sensam.errors import unknown
    from sensam.evaluate.clicking import score_clicks
    from sensam.evaluate.metrics import evaluate as score
    from sensam.files import try_place, write_text
    from sensam.infer.voting import find_device
    from sensam.train.confusion import Scoring

    if scoring is not None and scoring not in get_args(Scoring):
        raise unknown("scoring", scoring, get_args(Scoring))
    console = Console(highlight=False)
    _check_options(clicks=clicks, curve=curve, scoring=scoring, left_out=left_out, out=out, batch=batch)
    if out is not None:
        try_place(out)
    device = find_device(device)
    if clicks:
        found = score_clicks(model, data, split=split, curve=curve, device=device)
        for name, value in found.items():
            console.print(f"{name.replace('_', ' ')} {value:.4g}")
        if out is not None:
            write_text(out, json.dumps(dict(found), indent=2) + "\n")
        return
    report = score(
        model,
        data,
        split=split,
        scoring=scoring,  # type: ignore[arg-type]  # checked above
        left_out=left_out,
        device=device,
        batch=batch or 4,
    )
    _print_table(console, report)
    if out is not None:
        report.write(out)
        console.print(f"wrote {out}", soft_wrap=True)


def _check_options(
    *, clicks: bool, curve: int, scoring: str | None, left_out: int | None, out: Path | None, batch: int | None
) -> None:
    """Options that would do nothing beside the others, and a file that is none for scores."""
    from sensam.errors import SettingsError
    from sensam.train.confusion import WHOLE

    if curve and not clicks:
        raise SettingsError("--curve counts clicks. Give --clicks as well.")
    if left_out is not None and (scoring is None or scoring in WHOLE):
        found = f"{scoring} leaves nothing out" if scoring else "none is given"
        raise SettingsError(f"--left-out is for a scoring that leaves a class out; {found}. Give --scoring too.")
    if clicks and batch is not None:
        raise SettingsError("--batch is for class maps: clicks are asked image by image. Leave it out with --clicks.")
    if clicks and scoring not in (None, "strict"):
        raise SettingsError(f"--scoring {scoring} is for class maps. Leave it out with --clicks.")
    if clicks and out is not None and out.suffix.lower() != ".json":
        raise SettingsError(f"The scores of clicks are written as .json, found --out {out}.")
    if out is not None and out.suffix.lower() not in (".json", ".csv"):
        raise SettingsError(f"Scores are written as .json or .csv, found --out {out}. Give it such an ending.")


def _print_table(console: "Console", report: "Evaluation") -> None:
    from rich.table import Table

    table = Table("class", "IoU", "precision", "recall", "F1", "labelled pixels", box=None, pad_edge=False)
    scored = report.confusion
    for place, name in enumerate(scored.classes):
        columns = (scored.iou_K, scored.precision_K, scored.recall_K, scored.f1_K)
        numbers = (f"{100 * values[place]:.2f}" if values[place] == values[place] else "-" for values in columns)
        table.add_row(name, *numbers, f"{scored.labelled_K[place]:,}")
    console.print(table)
    for line in report.lines():
        console.print(line, soft_wrap=True)
