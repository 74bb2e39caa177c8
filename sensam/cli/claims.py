"""`sensam claims`: what four papers say, which printed numbers cannot be right, and how each claim is checked."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sensam.evaluate.claims import Claim, Paper


def claims(
    paper: Annotated[str | None, typer.Argument(help="e2sam, cwsam, simmat or goodsam; all of them without.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="Also the printed results, row by row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole ledger as JSON.")] = False,
) -> None:
    """List the papers' claims with the differences they rest on, and every misprint in their tables.

    Example: [bold]sensam claims e2sam --tables[/bold]
    """
    import json

    from sensam.evaluate.claims import load_paper, load_papers

    papers = load_papers() if paper is None else (load_paper(paper),)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in papers], indent=1, ensure_ascii=False))
        return
    for each in papers:
        _print_paper(each)
        if tables:
            _print_rows(each)
    typer.echo("next: sensam reproduce e2sam runs a scaled-down check of each on generated data")


def _print_paper(paper: "Paper") -> None:
    from rich.table import Table

    from sensam.cli.console import open_console

    console = open_console()
    console.print(f"\n[bold]{paper.title}[/bold] ({paper.venue})", soft_wrap=True)
    console.print(paper.known, style="dim")
    table = Table("claim", "what it says", "printed difference", "checked as", box=None, pad_edge=False)
    for claim in paper.claims:
        printed = ", ".join(f"{value:+.2f}" for value in paper.differences(claim)) or "none printed"
        table.add_row(claim.id, claim.says, printed, _check_of(claim))
    console.print(table)
    for row in paper.rows:
        for flag in row.flags:
            likely = "" if flag.likely is None else f", likely {flag.likely:.2f}"
            console.print(f"  misprint  {row.data} {row.input} {row.model}: {flag.cell}{likely}: {flag.why}")


def _check_of(claim: "Claim") -> str:
    if claim.identity:
        return "computed exactly"
    if not claim.scaled:
        return "cannot be checked here"
    pairs = "; ".join(f"{contrast.study}: {contrast.left} - {contrast.right}" for contrast in claim.scaled)
    return f"{pairs}{f' (within {claim.margin:g})' if claim.margin else ''}"


def _print_rows(paper: "Paper") -> None:
    from rich.table import Table

    from sensam.cli.console import open_console

    console = open_console()
    for number in dict.fromkeys(row.table for row in paper.rows):
        rows = [row for row in paper.rows if row.table == number]
        cells = list(dict.fromkeys(cell for row in rows for cell in row.values))
        table = Table(f"table {number}", "input", "model", *cells, box=None, pad_edge=False)
        for row in rows:
            table.add_row(row.data, row.input, row.model, *(_cell(row.values, row.deltas, cell) for cell in cells))
        console.print(table)


def _cell(values: dict[str, float], deltas: dict[str, float], cell: str) -> str:
    if cell not in values:
        return "-"
    return f"{values[cell]:.2f}" + (f" ({deltas[cell]:+.2f})" if cell in deltas else "")
