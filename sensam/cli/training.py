"""What commands that train have in common: options of the machine, and a run that goes on as it was begun."""

from pathlib import Path
from typing import Annotated, Any

import typer

Devices = Annotated[str | None, typer.Option(help="Processes on each machine, or auto.", show_default="1")]
Accelerator = Annotated[str | None, typer.Option(help="auto, cpu, gpu, mps.", show_default="auto")]
Nodes = Annotated[int | None, typer.Option(min=1, help="Machines.", show_default="1")]
Precision = Annotated[str | None, typer.Option(help="32 or bf16.", show_default="32")]
Teacher = Annotated[
    str | None, typer.Option(help="SAM: nano, b, l, h, a hub id, a folder, or a .pth.", show_default="nano")
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Of everything random.", show_default="0")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")]


def on_machine(**given: str | int | None) -> list[str]:
    """Options of the machine as assignments; what is not given stays as it is elsewhere."""
    return [f"machine.{name}={value}" for name, value in given.items() if value is not None]


def recorded(folder: Path, assign: list[str], *, needed: bool, command: str) -> dict[str, Any]:
    """The settings of the run in a folder; none where there is no run yet and the command says all that is needed."""
    from sensam.config import loosened, read_settings
    from sensam.errors import InputError

    path = folder / "run.yaml"
    if path.is_file():
        return {**loosened(read_settings(path), assign), "out": str(folder)}
    if needed:
        raise InputError(f"{folder} holds no run to go on with. Correct --out, or begin one: {command}")
    return {}
