"""`sensam inherit`: a student for all bands learns what SAM sees, from images without a single label."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sensam.config import RunSettings

SHAPING = re.compile(r"\s*(settings\s*[.=]|method\.)")  # shapes the student, and fine-tuning needs it too


def inherit(
    data: Annotated[Path, typer.Argument(help="A dataset.yaml, or a folder with images; masks are not looked at.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/inherited"),
    teacher: Annotated[str, typer.Option(help="SAM: nano, b, l, h, a hub id, a folder, or a .pth.")] = "nano",
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of everything random.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Keep the teacher's features here, of windows that stay.", show_default=False)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As in sensam train: settings.triples=4 ...")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Teach a student for all bands what SAM sees in triples of them, without labels (E2SAM's first stage).

    Example: [bold]sensam inherit my-data --teacher nano --out runs/student --set train.epochs=20[/bold]
    """
    from sensam.config import RunSettings, override, validate
    from sensam.run.inheriting import METHOD, STAGE, views_for, with_cache

    values: dict[str, Any] = {
        "data": str(data),
        "method": METHOD,
        "out": str(out),
        "teacher": teacher,
        "seed": seed,
        "settings": with_cache({}, cache),
        "stages": {STAGE: views_for(cache)},
        "stop_after": STAGE,
    }
    settings = validate(RunSettings, override(values, assign or []), "settings")

    from rich.console import Console

    from sensam.run.training import run
    from sensam.train.display import Display

    console = Console(highlight=False)
    run(settings, resume=resume, display=Display(console))
    shaping = [given for given in assign or [] if SHAPING.match(given)]

    from lightning_fabric.utilities.rank_zero import rank_zero_only

    rank_zero_only(console.print)(_what_is_next(settings, shaping), soft_wrap=True)


def _what_is_next(settings: "RunSettings", shaping: list[str]) -> str:
    words = ["sensam", "train", settings.data, "--method", settings.method, "--teacher", settings.teacher]
    for given in (f"begin_from={settings.out}", *shaping):
        words += ["--set", given]
    words += ["--out", "runs/finetuned"]
    return f"the student is in {Path(settings.out) / 'model'}; with labels: {shlex.join(words)}"
