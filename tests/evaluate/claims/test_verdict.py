"""A verdict follows from intervals alone, and noise never becomes support."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.evaluate.claims import Claim, load_paper, load_papers
from sensam.evaluate.claims.verdict import Measured, decide, judge
from sensam.evaluate.statistics import Difference


def claim(name: str) -> Claim:
    return next(found for paper in load_papers() for found in paper.claims if found.id == name)


def seen(value: float, reach: float, p: float, seeds: int = 3) -> Measured:
    return Measured("study: left - right", Difference(value, value - reach, value + reach, p, seeds, 20))


CLEAR, AGAINST, NOISE = seen(5, 2, 0.001), seen(-5, 2, 0.001), seen(1, 3, 0.4)


@pytest.mark.parametrize(
    ("measured", "word"),
    [
        ([CLEAR, CLEAR], "supported"),
        ([CLEAR, NOISE], "undecided"),
        ([CLEAR, AGAINST], "not supported"),
        ([NOISE, AGAINST], "not supported"),
        ([CLEAR, seen(-1, 0.95, 0.03)], "undecided"),  # of two tests one at 0.03 is no proof of the opposite
        ([CLEAR], "not measured"),
        ([], "not measured"),
        ([CLEAR, seen(5, 1, 0.001, seeds=1)], "undecided"),
    ],
)
def test_orders(measured: list[Measured], word: str) -> None:
    assert judge(claim("A1"), measured).word == word


@pytest.mark.parametrize(
    ("measured", "word"),
    [(seen(0.2, 0.5, 0.4), "supported"), (seen(0.2, 3, 0.9), "undecided"), (seen(4, 1, 0.001), "not supported")],
)
def test_parity_needs_a_narrow_interval_and_not_a_missing_difference(measured: Measured, word: str) -> None:
    assert judge(claim("A5"), [measured]).word == word


def test_what_is_counted_needs_no_interval() -> None:
    assert judge(claim("C2"), [seen(-3e6, 0, 0, seeds=1)]).word == "supported"
    assert judge(claim("C2"), [seen(3e6, 0, 0, seeds=1)]).word == "not supported"
    assert decide(claim("A9"), holds=False, why="").word == "not supported"


def test_what_cannot_be_had_is_not_judged() -> None:
    verdict = judge(claim("G1"), [CLEAR])
    assert verdict.word == "not measured"
    assert "could not be read" in verdict.why


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.01, 1)), min_size=5, max_size=5))
def test_more_noise_never_supports(draws: list[tuple[float, float]]) -> None:
    (order,) = [found for found in load_paper("e2sam").claims if found.id == "A3"]
    before = judge(order, [seen(value, 1, p) for value, p in draws])
    after = judge(order, [seen(value, 1, min(1, 20 * p)) for value, p in draws])
    if before.word == "undecided":
        assert after.word == "undecided"
