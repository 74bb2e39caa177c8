"""The rate rises over the warm-up, never rises again, and ends on the last step at the least rate."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sensam.train.schedule import Schedule

RATES = st.tuples(st.floats(1e-6, 1.0), st.floats(0.0, 1.0)).map(lambda pair: (pair[0], pair[0] * pair[1]))


@given(steps=st.integers(2, 500), rates=RATES, warm_up=st.floats(0, 0.99))
def test_it_rises_then_falls_and_hits_the_least_rate(steps: int, rates: tuple[float, float], warm_up: float) -> None:
    rate, least = rates
    schedule = Schedule(steps, rate, least, warm_up)
    values = [schedule.at(step) for step in range(steps)]
    rising, falling = values[: schedule.rising + 1], values[schedule.rising :]
    assert values[-1] == least
    assert all(value <= rate * (1 + 1e-12) for value in values)
    if steps > schedule.rising + 1:
        assert rising == sorted(rising)
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(falling))


@given(rates=RATES, warm_up=st.floats(0, 0.99))
def test_a_single_step_has_the_full_rate(rates: tuple[float, float], warm_up: float) -> None:
    rate, least = rates
    assert Schedule(1, rate, least, warm_up).at(0) == rate


def test_halving_instead_of_a_cosine() -> None:
    schedule = Schedule(51 * 4, 8e-4, 0.0, 0.0, halved_every=10 * 4)
    assert [schedule.at(4 * epoch) for epoch in (0, 9, 10, 19, 20, 50)] == [8e-4, 8e-4, 4e-4, 4e-4, 2e-4, 8e-4 / 32]
    assert Schedule(100, 1.0, 0.3, 0.0, halved_every=10).at(99) == 0.3


def test_the_full_rate_is_reached_right_after_the_warm_up() -> None:
    schedule = Schedule(100, 1.0, 0.0, 0.1)
    assert schedule.at(10) == 1.0
    assert schedule.at(9) < 1.0
    assert schedule.at(0) > 0
