"""The command line: one file per command, imported only when it runs."""

import sys

import typer

from sensam.cli.check import check
from sensam.cli.claims import claims
from sensam.cli.compare import compare
from sensam.cli.demo import demo
from sensam.cli.evaluate import evaluate
from sensam.cli.export import export
from sensam.cli.grid import parts
from sensam.cli.inherit import inherit
from sensam.cli.mishaps import explain
from sensam.cli.predict import predict
from sensam.cli.report import report
from sensam.cli.reproduce import reproduce
from sensam.cli.scenes import scenes
from sensam.cli.segment import segment
from sensam.cli.sensors import sensors
from sensam.cli.stats import stats
from sensam.cli.teacher import teacher
from sensam.cli.train import train
from sensam.errors import SensamError
from sensam.version import __version__

INTERRUPTED = 130  # typer's exit code after Ctrl-C, which it passes over in silence

app = typer.Typer(
    name="sensam",
    help="Segment Anything, for every sensor.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sensam {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Segment Anything, for every sensor."""


app.command()(check)
app.command()(stats)
app.command()(predict)
app.command()(export)
app.command()(scenes)
app.command()(demo)
app.command()(sensors)
app.command()(inherit)
app.command()(train)
app.command()(evaluate)
app.command()(segment)
app.command()(parts)
app.command()(compare)
app.command()(report)
app.command()(claims)
app.command()(reproduce)
app.add_typer(teacher, name="teacher", no_args_is_help=True)


def main() -> None:
    """Run a command; a mistake of the user, a full disk or full memory becomes one line on stderr and exit code 2."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("stopped", err=True)
        raise
    except SensamError as mistake:
        typer.echo(f"error: {mistake}", err=True)
        sys.exit(2)
    except Exception as failure:
        said = explain(failure)
        if said is None:
            raise
        typer.echo(f"error: {said}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
