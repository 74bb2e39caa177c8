"""The SAM that a command was given, with one line that says what it is made of."""

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sensam.sam.model import Sam


def load_shown(source: str) -> "Sam":
    """`load_sam`, said aloud: which file it is, and what of it is not from the file."""
    from sensam.sam.weights import load_sam

    sam = load_sam(source)
    assert sam.loaded is not None
    typer.echo(sam.loaded.headline)
    return sam
