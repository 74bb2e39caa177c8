"""The table of verdicts in the README, generated from the file of results so that the two cannot differ."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensam.errors import InputError
from sensam.evaluate.claims.ledger import PAPERS

BEGIN, END = "<!-- claims: generated from the file of results -->", "<!-- claims: end -->"


def render(results: Mapping[str, Any]) -> str:
    """A table for each paper, in Markdown."""
    blocks = []
    for key in PAPERS:
        if key not in results:
            continue
        part = results[key]
        rows = [_row(claim) for claim in part["claims"]]
        head = ["| claim | paper | here (95 %) | verdict |", "|---|---|---|---|"]
        blocks.append("\n".join([f"**{part['title']}** ({_setting(part)})", "", *head, *rows]))
    return "\n\n".join(blocks)


def _setting(part: Mapping[str, Any]) -> str:
    data = part["data"] if isinstance(part["data"], str) else ", ".join(sorted(part["data"]))
    return f"{data}, {part['teacher']} as SAM, {part['seeds']} seeds, {part['steps']} steps"


def _row(claim: Mapping[str, Any]) -> str:
    printed = ", ".join(f"{value:+.2f}" for value in claim["printed"]) or "no number"
    measured = "; ".join(_measured(entry) for entry in claim["measured"]) or _safe(claim["why"])
    otherwise = f" [{_setting(claim['setting'])}]" if "setting" in claim else ""
    return f"| {claim['claim']}: {_safe(claim['says'])} | {printed} | {measured}{otherwise} | {claim['verdict']} |"


def _measured(entry: Mapping[str, Any]) -> str:
    unit = "" if entry["unit"] == "points" else f" {entry['unit']}"
    if entry["low"] == entry["high"]:
        return f"{entry['value']:+.2f}{unit}"
    return f"{entry['value']:+.1f}{unit} ({entry['low']:+.1f} to {entry['high']:+.1f})"


def _safe(text: str) -> str:
    return text.replace("|", "\\|")


def read_results(path: Path) -> dict[str, Any]:
    """What `sensam reproduce --results` wrote."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} holds no results ({error}). Write them with: sensam reproduce --results FILE"
        ) from error


def current(text: str) -> str | None:
    """The table in a text between the marks; None without them."""
    if BEGIN not in text or END not in text:
        return None
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()


def put_table(text: str, results: Mapping[str, Any]) -> str:
    """The text with the table between the marks replaced."""
    if current(text) is None:
        raise InputError(f"There is no place for the table: the text needs the lines {BEGIN} and {END}.")
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:start]}\n\n{render(results)}\n\n{text[stop:]}"
