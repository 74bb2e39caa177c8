"""The console of commands that print tables."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120  # columns where the output is no terminal, so that nothing is cut


def open_console() -> "Console":
    """As wide as the terminal, or wide enough for a table in a file."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console
