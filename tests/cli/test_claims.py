"""`sensam claims` lists every claim, every misprint, and the tables as printed."""

import json

import pytest
from typer.testing import CliRunner

from sensam.cli.app import app
from sensam.evaluate.claims import load_papers

runner = CliRunner()


def test_every_claim_and_misprint_is_listed() -> None:
    result = runner.invoke(app, ["claims", "--tables"])
    assert result.exit_code == 0
    for paper in load_papers():
        assert paper.title in result.output
        for claim in paper.claims:
            assert f"\n{claim.id} " in result.output
    assert "allAcc, likely 97.62" in result.output
    assert "79.91 (+5.05)" in result.output


def test_one_paper_as_json() -> None:
    result = runner.invoke(app, ["claims", "simmat", "--json"])
    (paper,) = json.loads(result.output)
    assert paper["rows"][1]["values"] == {"mIoU": 53.88}


@pytest.mark.parametrize("name", ["sam", "e2sm"])
def test_a_paper_nobody_knows(name: str) -> None:
    result = runner.invoke(app, ["claims", name])
    assert "There is no paper named" in str(result.exception)
