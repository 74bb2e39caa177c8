"""C3*: mean and spread over the listed triples, and a single triple never passes for a mean."""

import pytest

from sensam.evaluate.triples import summarise

SCORES = {("B03", "B02", "B01"): {"csi": 0.5, "miou": 0.7}, ("B14", "B04", "B03"): {"csi": 0.6, "miou": 0.8}}


def test_mean_and_spread_of_every_metric_and_all_triples_are_told() -> None:
    lines = summarise(SCORES).splitlines()
    assert lines[0] == "| bands | csi | miou |"
    assert lines[2] == "| B03 B02 B01 | 0.5000 | 0.7000 |"
    assert lines[-1] == "| C3*, mean of 2 triples | 0.5500 ± 0.0707 | 0.7500 ± 0.0707 |"


@pytest.mark.parametrize("names", list(SCORES))
def test_a_single_triple_is_labelled_as_one(names: tuple[str, str, str]) -> None:
    table = summarise({names: SCORES[names]})
    assert "(C3, a single triple)" in table
    assert "C3*" not in table
