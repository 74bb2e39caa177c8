"""Words follow the numbers: who is ahead, what is noise, what one seed cannot tell, and what to take."""

from dataclasses import replace

import numpy as np
import pytest

from sensam.errors import InputError
from sensam.evaluate.answer import headline, ranking_lines, recommend
from sensam.evaluate.outcome import Outcome
from tests.evaluate.made_up import made_up_outcome


def test_noise_is_called_noise() -> None:
    outcome = made_up_outcome()
    assert headline(outcome).startswith("e2sam is ahead with ")
    assert headline(outcome).endswith("within noise of it: resam.")
    lines = ranking_lines(outcome)
    assert [line.split(":")[0] for line in lines] == ["1. e2sam", "2. resam", "3. unet", "4. scratch"]
    assert "within noise (p = " in lines[1]
    assert "a real difference (p < 0.001)" in lines[3]


def test_the_quickest_of_the_best_is_recommended() -> None:
    choice = recommend(made_up_outcome())
    assert choice.entry == "resam"
    assert "within noise of e2sam" in choice.reason
    assert choice.command == "sensam train fog --method resam"
    alone = recommend(made_up_outcome({"scratch": 0.5, "e2sam": 0.9}))
    assert (alone.entry, alone.reason) == ("e2sam", "It is ahead of every other entry by more than noise.")


def test_the_best_is_recommended_where_none_is_clearly_quicker() -> None:
    outcome = made_up_outcome()
    records = {
        key: record.model_copy(update={"costs": record.costs.model_copy(update={"seconds": {"finetune": seconds}})})
        for key, record in outcome.records.items()
        for seconds in [38.0 if key[0] == "resam" else 40.0]
    }
    choice = recommend(replace(outcome, records=records))
    assert choice.entry == "e2sam"
    assert "none that may be as good trains clearly faster" in choice.reason


def test_what_lies_far_behind_is_not_recommended_because_few_images_call_it_noise() -> None:
    outcome = made_up_outcome({"quick": 0.5, "b": 0.6, "c": 0.7, "d": 0.72, "best": 0.9}, images=3, seeds=(0, 1))
    quick = next(standing for standing in outcome.standings if standing.name == "quick")
    assert quick.is_level
    assert quick.behind is not None
    assert quick.behind.low > 0
    assert recommend(outcome).entry != "quick"


def test_without_a_seed_that_all_finished_nothing_is_ranked() -> None:
    outcome = made_up_outcome({"a": 0.7, "b": 0.7}, seeds=(0, 1))
    apart = {key: value for key, value in outcome.records.items() if (key[0] == "a") == (key[1] == 0)}
    with pytest.raises(InputError, match="no seed that every entry finished"):
        headline(replace(outcome, records=apart))


def test_one_seed_decides_nothing() -> None:
    outcome = made_up_outcome({"scratch": 0.3, "e2sam": 0.9}, seeds=(0,))
    assert "one seed cannot tell merit from luck" in headline(outcome)
    assert "no difference counts as real" in ranking_lines(outcome)[1]


def test_nothing_stands_out() -> None:
    assert "do not tell any of the 3 entries apart" in headline(made_up_outcome({"a": 0.7, "b": 0.7, "c": 0.7}))
    alone = made_up_outcome({"a": 0.7})
    assert "Nothing was compared" in headline(alone)
    assert recommend(alone).reason == "It is the only entry that finished."


def test_without_a_labelled_pixel_nothing_is_recommended() -> None:
    truth = [(f"scene-{number}", np.full((16, 16), 255, np.uint8)) for number in range(3)]
    outcome = made_up_outcome({"a": 0.7, "b": 0.8}, truth=truth)
    for say in (headline, ranking_lines, recommend):
        with pytest.raises(InputError, match="No pixel of the test split of fog is labelled"):
            say(outcome)


def test_only_seeds_that_all_finished_are_compared() -> None:
    outcome = made_up_outcome()
    missing = {key: value for key, value in outcome.records.items() if key != ("unet", 1, 1.0)}
    fewer: Outcome = replace(outcome, records=missing)
    assert {len(table) for table in fewer.confusions(1.0).values()} == {2}
    assert {len(table) for table in fewer.confusions(0.3).values()} == {3}
