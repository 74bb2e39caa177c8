"""`sensam parts`: what every projector and strategy of SimMAT trains and computes."""

from typing import Annotated

import typer


def parts(
    size: Annotated[str, typer.Option(help="The SAM: nano, b, l or h. Nothing is downloaded.")] = "b",
    bands: Annotated[int, typer.Option(min=1, help="Bands of the sensor.")] = 6,
    projector: Annotated[list[str] | None, typer.Option(help="Only these, as preconv(3,2,64).")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    amount: Annotated[
        int | None, typer.Option(min=1, help="LoRA's rank, the adapter's width, how many prompts or prefixes.")
    ] = None,
) -> None:
    """Print the grid of projectors and strategies: trained parameters, and operations for an image and for a click.

    Example: [bold]sensam parts --size b --bands 6 --strategy lora --strategy full[/bold]
    """
    from rich.console import Console
    from rich.table import Table

    from sensam.errors import unknown
    from sensam.evaluate.parts import count_parts
    from sensam.methods.tuning import STRATEGIES
    from sensam.nn.projectors import PROJECTORS
    from sensam.sam.anatomy import anatomy

    chosen = tuple(name for name in STRATEGIES if strategy is None or name in strategy)
    strangers = [name for name in strategy or () if name not in STRATEGIES]
    if strangers:
        raise unknown("strategy", strangers[0], STRATEGIES)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    names = ("projector", "strategy", "sees", "trained", "of all", "GFLOP an image", "GFLOP a click")
    table = Table(*names, box=None, pad_edge=False)
    for part in count_parts(anatomy(size), bands, projector or tuple(PROJECTORS), chosen, amount):
        counts = (f"{part.trained:,}", f"{100 * part.trained / part.total:.2f} %")
        table.add_row(
            part.projector,
            part.strategy,
            part.sees,
            *counts,
            f"{part.encoder_gflop:,.1f}",
            f"{part.decoder_gflop:,.2f}",
        )
    console.print(table)
