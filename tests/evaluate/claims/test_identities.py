"""Claims that follow from how things are built hold, and would fail if they were built otherwise."""

import pytest
import torch

from sensam.evaluate.claims import Claim, load_papers
from sensam.evaluate.claims.identities import CHECKS, settle_identity
from sensam.nn import selector

CLAIMS = [claim for paper in load_papers() for claim in paper.claims if claim.identity]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_it_holds(claim: Claim) -> None:
    verdict = settle_identity(claim)
    assert verdict.word == "supported", verdict.why
    assert verdict.why


def test_every_identity_has_a_check() -> None:
    assert {claim.identity for claim in CLAIMS} == set(CHECKS)


def test_a_selector_with_a_favourite_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def favour(generator: torch.Generator, bands: int, count: int) -> torch.Tensor:
        return torch.randint(bands - 1, (count, 3), generator=generator)  # the last band never comes

    monkeypatch.setattr(selector, "draw_triples", favour)
    (claim,) = [claim for claim in CLAIMS if claim.identity == "selection-share"]
    assert settle_identity(claim).word == "not supported"
