"""`sensam reproduce` says for each claim the paper's difference, ours, the verdict, and what it cannot say."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.evaluate.claims import Claim, load_paper
from sensam.evaluate.claims.studies import Scale
from sensam.evaluate.claims.table import BEGIN, END
from sensam.evaluate.claims.verdict import Measured, Verdict
from sensam.evaluate.statistics import Difference

runner = CliRunner()


def test_computed_claims_from_the_command_to_the_table(tmp_path: Path) -> None:
    results, table = tmp_path / "claims.json", tmp_path / "README.md"
    table.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    words = ["reproduce", "e2sam", "--claims", "A9", "--out", str(tmp_path / "out")]
    found = runner.invoke(app, [*words, "--results", str(results), "--table", str(table)])
    assert found.exit_code == 0, found.exception
    assert "A9 supported: Every band is selected equally often" in found.output
    assert "  paper: no number" in found.output
    assert f"  not said: {load_paper('e2sam').claim('A9').cannot[:50]}" in found.output
    assert [entry["verdict"] for entry in json.loads(results.read_text())["e2sam"]["claims"]] == ["supported"]
    assert "| A9: Every band is selected" in table.read_text()


def test_measured_claims_and_the_full_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Scale, object]] = []

    def run(_: object, claims: list[Claim], __: Path, scale: Scale, ___: object, **options: object) -> list[Verdict]:
        asked.append((scale, options["data"]))
        measured = Measured("drive: sam3 - scratch-3", Difference(9.1, 4.25, 13.95, 0.002, 3, 30))
        return [Verdict(claim.id, "undecided", "1 of 2 differences within noise", (measured,)) for claim in claims]

    monkeypatch.setattr("sensam.evaluate.reproduce.reproduce", run)
    words = ["reproduce", "e2sam", "--claims", "A2", "--out", str(tmp_path)]
    found = runner.invoke(app, [*words, "--data", "shift=/data/shift", "--teacher", "facebook/sam-vit-base"])
    assert found.exit_code == 0, found.exception
    assert "A2 undecided: With three bands, starting from SAM helps." in found.output
    assert "  paper: +23.10, +9.43" in found.output
    assert "  here:  +9.10 points (95 %: +4.25 to +13.95, p = 0.002)  drive: sam3 - scratch-3" in found.output
    assert "  why:   1 of 2 differences within noise" in found.output
    ((scale, data),) = asked
    assert (scale.teacher, data) == ("facebook/sam-vit-base", {"shift": "/data/shift"})
    assert (scale.length(generated=False), scale.length(generated=True)) == (50_000, 200)
