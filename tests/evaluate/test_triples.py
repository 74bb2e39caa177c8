"""C3*: mean and spread over the triples compared, and a single triple never passes for a mean."""

from sensam.evaluate.compare.plan import Plan, parse_plan
from sensam.evaluate.triples import over_triples, summarise
from tests.evaluate.made_up import made_up_outcome

SCORES = {("B03", "B02", "B01"): 70.0, ("B14", "B04", "B03"): 80.0}


def plan(**entries: dict[str, object]) -> Plan:
    return parse_plan({"data": "nowhere", "steps": 1, "entries": entries}, "plan")


def test_mean_and_spread_and_all_triples_are_told() -> None:
    assert summarise(SCORES) == "C3* over 2 triples: 75.0 ± 7.1 (B03 B02 B01 70.0; B14 B04 B03 80.0)"


def test_a_single_triple_is_labelled_as_one() -> None:
    assert summarise({("B03", "B02", "B01"): 70.0}) == "C3, a single triple: B03 B02 B01 70.0"


def test_entries_that_differ_in_their_triple_alone_are_taken_together() -> None:
    one, two = ({"method": "sam3", "settings": {"triple": names.split(), "loss": "ce"}} for names in ("a b c", "d e f"))
    other = {"method": "sam3", "settings": {"triple": ["a", "b", "c"], "loss": "dice"}}
    chosen = plan(one=one, two=two, other=other, usual={"method": "sam3"}, scratch={"method": "scratch"})
    outcome = made_up_outcome({"one": 0.6, "two": 0.7, "other": 0.9, "usual": 0.8, "scratch": 0.5})
    scores = {standing.name: 100 * standing.mean for standing in outcome.standings}
    line, single = over_triples(chosen, outcome)
    mean = (scores["one"] + scores["two"]) / 2
    assert line.startswith(f"sam3, C3* over 2 triples: {mean:.1f} ± ")
    assert f"(a b c {scores['one']:.1f}; d e f {scores['two']:.1f})" in line
    assert single == f"sam3, C3, a single triple: a b c {scores['other']:.1f}"
    assert over_triples(plan(usual={"method": "sam3"}), outcome) == []
