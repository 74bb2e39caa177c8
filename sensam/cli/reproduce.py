"""`sensam reproduce`: check the papers' claims by runs of your own, scaled down or in full."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.evaluate.claims import Paper
    from sensam.evaluate.claims.verdict import Verdict


def reproduce(
    paper: Annotated[str | None, typer.Argument(help="e2sam, cwsam, simmat or goodsam; all of them without.")] = None,
    claims: Annotated[str, typer.Option(help="Only these, such as A1,A2.")] = "",
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Real data in place of generated: shift=/data/shift.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="SAM: nano, b, l, h, a hub id, a folder, or a .pth.")] = "nano",
    seeds: Annotated[int, typer.Option(min=1, help="How often each entry is trained.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="On labels, for each entry.", show_default="200; 50000 on --data")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=16, help="Pixels of a window.", show_default="by study; 1024 on --data")
    ] = None,
    scenes: Annotated[int | None, typer.Option(min=2, help="Generated in each split.", show_default="by study")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs; the same one goes on with them.")] = Path(
        "runs/reproduce"
    ),
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu, mps.")] = "auto",
    results: Annotated[Path | None, typer.Option(help="Also write the verdicts into this JSON.")] = None,
    table: Annotated[Path | None, typer.Option(help="Also put the table of --results into this Markdown file.")] = None,
) -> None:
    """Run the comparisons behind each claim and print the paper's difference, ours, and a verdict.

    Without --data and --teacher: generated scenes and the small built-in SAM, which say what a small case can say.
    With them the same command runs the full setting, on a GPU: --data shift=/data/shift --teacher facebook/sam-vit-base

    Example: [bold]sensam reproduce e2sam --claims A1,A2,A3 --seeds 5[/bold]
    """
    from sensam.config import MachineSettings, validate
    from sensam.errors import SettingsError
    from sensam.evaluate.claims import load_paper, load_papers
    from sensam.evaluate.claims.studies import Scale
    from sensam.evaluate.reproduce import reproduce as run
    from sensam.evaluate.reproduce import restrict, write_results

    if table is not None and results is None:
        raise SettingsError("--table is generated from --results: give that file too.")
    given = _paths(data or [])
    papers = load_papers() if paper is None else (load_paper(paper),)
    _refuse_places(out, results, table)
    chosen = {each.key: restrict(each, claims) for each in papers}
    scale = Scale(seeds=seeds, steps=steps, teacher=teacher, size=size, scenes=scenes)
    machine = validate(MachineSettings, {"accelerator": accelerator}, "machine")
    for each in papers:
        verdicts = run(each, chosen[each.key], out, scale, machine, data=given, retry=retry, say=typer.echo)
        _print(each, verdicts)
        if results is not None:
            write_results(results, each, verdicts, scale, given)
    if table is not None and results is not None:
        _put_table(table, results)


def _refuse_places(out: Path, results: Path | None, table: Path | None) -> None:
    """What could not be written or read after hours of runs is said before them."""
    from sensam.evaluate.claims.table import put_table, read_results
    from sensam.files import try_place

    try_place(out / "plan.yaml")
    if results is not None:
        try_place(results)
        if results.is_file():
            read_results(results)
    if table is not None:
        try_place(table)
        put_table(table.read_text(encoding="utf-8"), {})


def _put_table(table: Path, results: Path) -> None:
    from sensam.evaluate.claims.table import put_table, read_results
    from sensam.files import write_text

    write_text(table, put_table(table.read_text(encoding="utf-8"), read_results(results)))
    typer.echo(f"wrote the table into {table}")


def _paths(given: list[str]) -> dict[str, str]:
    from sensam.errors import SettingsError

    paths = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise SettingsError(f"--data {text} cannot be read. Write NAME=PATH, such as shift=/data/shift.")
        paths[name] = path
    return paths


def _print(paper: "Paper", verdicts: "list[Verdict]") -> None:
    from sensam.cli.console import open_console

    console = open_console()
    console.print(f"\n[bold]{paper.title}[/bold]", soft_wrap=True)
    for verdict in verdicts:
        claim = paper.claim(verdict.claim)
        printed = ", ".join(f"{value:+.2f}" for value in paper.differences(claim)) or "no number"
        console.print(f"\n[bold]{claim.id} {verdict.word}[/bold]: {claim.says}")
        console.print(f"  paper: {printed}")
        for entry in verdict.measured:
            found = entry.difference
            reach = (
                "" if found.low == found.high else f" (95 %: {found.low:+.2f} to {found.high:+.2f}, p = {found.p:.3f})"
            )
            console.print(f"  here:  {found.value:+.2f} {entry.unit}{reach}  {entry.what}")
        console.print(f"  why:   {verdict.why}")
        console.print(f"  not said: {claim.cannot}", style="dim")
