"""`sensam scenes`: write a generated data set, whose labels are exact, to learn and to try things with."""

import re
from pathlib import Path
from typing import Annotated

import typer


def scenes(
    family: Annotated[str, typer.Argument(help="seafog, drive, sar, modality or panorama; or FAMILY:VARIANT.")],
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    count: Annotated[str, typer.Option(help="Scenes of each split.")] = "train=32,val=8,test=8",
    size: Annotated[str, typer.Option(help="Pixels: one number, or ROWSxCOLUMNS.")] = "256",
    seed: Annotated[int, typer.Option(help="The same seed gives the same scenes.", min=0, max=2**63 - 1)] = 0,
    domain: Annotated[str | None, typer.Option(help="Only this domain, such as night.")] = None,
    unlabelled: Annotated[str, typer.Option(help="Splits without masks, such as pretrain.")] = "",
    dtype: Annotated[str, typer.Option(help="float32, or uint16 with scale and offset.")] = "float32",
) -> None:
    """Write generated scenes with exact labels as a data set: GeoTIFFs, masks and a dataset.yaml.

    Example: [bold]sensam scenes seafog fog --count train=64,val=16 --size 256 --seed 1[/bold]
    """
    from typing import get_args

    from sensam.data.synthetic import family as family_named
    from sensam.data.synthetic import write
    from sensam.data.synthetic.files import Storage
    from sensam.errors import unknown

    if dtype not in get_args(Storage):
        raise unknown("type", dtype, get_args(Storage))
    path = write(
        family_named(family),
        folder,
        seed=seed,
        counts=_counts(count),
        size=_size(size),
        domain=domain,
        unlabelled=[name for name in unlabelled.split(",") if name],
        dtype="float32" if dtype == "float32" else "uint16",
    )
    typer.echo(f"wrote {path}")
    typer.echo(f"next: sensam stats {path.parent}; sensam check {path.parent} --contact sheet.png")


def _counts(text: str) -> dict[str, int]:
    """`train=64,val=16`, or one number for a single split `train`."""
    from sensam.errors import SettingsError

    counts: dict[str, int] = {}
    for part in text.split(","):
        given, equals, number = part.rpartition("=")
        name = given.strip() if equals else "train"
        if not number.strip().isdecimal() or int(number) < 1:
            raise SettingsError(f"--count {text} cannot be read. Write it as train=64,val=16.")
        if not re.fullmatch(r"[0-9A-Za-z_-]+", name):
            raise SettingsError(
                f"--count names a split {name!r}. Name it with letters, digits, - and _, as in train=64,val=16."
            )
        if name in counts:
            raise SettingsError(f"--count {text} names the split {name} twice. Name each once, as in train=64,val=16.")
        counts[name] = int(number)
    return counts


def _size(text: str) -> tuple[int, int]:
    from sensam.errors import SettingsError

    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise SettingsError(f"--size {text} cannot be read. Write 256, or 256x512 for rows x columns.")
    return int(sides[0]), int(sides[-1])
