"""Random numbers are a function of seed, purpose and place, and of nothing that was drawn before."""

import pickle

import numpy as np

from sensam.data.dice import Dice

PLACES = [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (7, 123456, 3)]


def test_the_same_wherever_it_came_from() -> None:
    dice = Dice(3, 1)
    first = {place: dice.at(*place).random(5) for place in PLACES}
    dice.at(0, 1, 0).integers(0, 100, 3, np.int32)  # leaves half a number behind
    for place in reversed(PLACES):
        assert np.array_equal(dice.at(*place).random(5), first[place])
        assert np.array_equal(Dice(3, 1).at(*place).random(5), first[place])
    assert np.array_equal(pickle.loads(pickle.dumps(dice)).at(1, 0, 0).random(5), first[1, 0, 0])


def test_small_numbers_leave_nothing_behind() -> None:
    dice = Dice(0, 0)
    expected = dice.at(5).integers(0, 256, 3, np.uint8)
    dice.at(4).integers(0, 256, 1, np.uint8)
    assert np.array_equal(dice.at(5).integers(0, 256, 3, np.uint8), expected)


def test_seeds_purposes_and_places_are_told_apart_and_look_like_luck() -> None:
    drawn = [Dice(seed, purpose).at(*place).random() for seed in range(4) for purpose in range(4) for place in PLACES]
    assert len(set(drawn)) == len(drawn)
    dice = Dice(0, 1)
    first_of_many = np.array([dice.at(epoch, index).random() for epoch in range(50) for index in range(100)])
    counts, _ = np.histogram(first_of_many, 10, (0, 1))
    assert np.abs(counts - 500).max() < 5 * 500**0.5
    assert abs(np.corrcoef(first_of_many[:-1], first_of_many[1:])[0, 1]) < 0.06
