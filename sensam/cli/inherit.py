"""`sensam inherit`: a student for all bands learns what SAM sees, from images without a single label."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensam.cli.training import Accelerator, Devices, Nodes, Precision, Resume, Seed, Teacher, on_machine, recorded

if TYPE_CHECKING:
    from sensam.config import RunSettings


def inherit(
    data: Annotated[
        Path | None,
        typer.Argument(help="A dataset.yaml, or a folder with images; masks are not looked at.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("runs/inherited"),
    teacher: Teacher = None,
    seed: Seed = None,
    cache: Annotated[
        Path | None, typer.Option(help="Keep the teacher's features here, of windows that stay.", show_default=False)
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="As in sensam train: settings.triples=4 ...")
    ] = None,
    resume: Resume = False,
    devices: Devices = None,
    accelerator: Accelerator = None,
    nodes: Nodes = None,
    precision: Precision = None,
) -> None:
    """Teach a student for all bands what SAM sees in triples of them, without labels (E2SAM's first stage).

    Example: [bold]sensam inherit my-data --teacher nano --out runs/student --set train.epochs=20[/bold]
    """
    from sensam.config import RunSettings, override, validate
    from sensam.run.inheriting import METHOD, STAGE, views_for, with_cache

    values: dict[str, Any] = {}
    if resume:
        values = recorded(out, assign or [], needed=data is None, command="sensam inherit DATA")
    given = {"data": data and str(data), "teacher": teacher, "seed": seed}
    values |= {name: value for name, value in given.items() if value is not None}
    values |= {"method": METHOD, "out": str(out), "stop_after": STAGE}
    if cache is not None:
        stages = values.get("stages", {})
        values["settings"] = with_cache(values.get("settings", {}), cache)
        values["stages"] = {**stages, STAGE: {**views_for(cache), **stages.get(STAGE, {})}}
    machine = on_machine(devices=devices, accelerator=accelerator, nodes=nodes, precision=precision)
    settings = validate(RunSettings, override(values, [*machine, *(assign or [])]), "settings")

    from rich.console import Console

    from sensam.run.training import run
    from sensam.train.display import Display

    console = Console(highlight=False)
    run(settings, resume=resume, display=Display(console))

    from lightning_fabric.utilities.rank_zero import rank_zero_only

    rank_zero_only(console.print)(_what_is_next(settings), soft_wrap=True)


def _what_is_next(settings: "RunSettings") -> str:
    """The command that learns classes; what shapes the student has to be said to it again."""
    words = ["sensam", "train", settings.data, "--method", settings.method, "--teacher", settings.teacher]
    for given in (f"begin_from={settings.out}", *_shaping(settings.settings)):
        words += ["--set", given]
    words += ["--out", "runs/finetuned"]
    return f"the student is in {Path(settings.out) / 'model'}; with labels: {shlex.join(words)}"


def _shaping(settings: Mapping[str, Any]) -> list[str]:
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    return [f"settings.{name}={value}" for name, value in written.items() if name != "cache"]
