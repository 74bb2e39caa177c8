"""Statistics agree with scipy where it has them, and reject about one time in twenty where nothing differs."""

from inspect import signature

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sensam.errors import InputError
from sensam.evaluate.statistics import (
    LEVEL,
    bootstrap,
    compare,
    holm,
    miou_of,
    pseudovalues,
    rank,
    summary,
)
from sensam.train.confusion import Confusion as ClassMatrix

Array = NDArray[np.float64]


def effects(random: np.random.Generator, seeds: int, images: int, of: tuple[float, float, float]) -> Array:
    """Differences that come from seeds, from images, and from both together; none of them is real."""
    seed, image, rest = of
    return np.asarray(
        random.normal(0, seed, (seeds, 1))
        + random.normal(0, image, (1, images))
        + random.normal(0, rest, (seeds, images))
    )


def confusion(random: np.random.Generator, shape: tuple[int, ...], skill: Array | float) -> NDArray[np.int64]:
    """Confusions of two classes with so many right answers of 100 in each."""
    right = random.binomial(100, np.broadcast_to(skill, (*shape, 2)))
    return np.stack(
        [np.stack([right[..., 0], 100 - right[..., 0]], -1), np.stack([100 - right[..., 1], right[..., 1]], -1)], -2
    )


@pytest.mark.parametrize("shape", [(1, 12), (12, 1)])
def test_one_source_of_noise_is_a_paired_t_test(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    left, right = random.normal(1, 1, shape), random.normal(0.4, 1, shape)
    found, known = compare(left, right), stats.ttest_rel(left.ravel(), right.ravel())
    interval = known.confidence_interval(0.95)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_seeds_that_outweigh_images_are_a_t_test_over_seeds() -> None:
    difference = np.array([0.1, 0.4, 0.35, 0.2, 0.3])[:, None] + np.random.default_rng(0).normal(0, 1e-6, (5, 50))
    found = compare(difference, np.zeros_like(difference))
    assert found.p == pytest.approx(stats.ttest_1samp(difference.mean(1), 0).pvalue, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "images", "of"),
    [
        (3, 40, (1, 0, 0.3)),
        (3, 40, (0, 1, 0.3)),
        (5, 20, (0.5, 2, 1)),
        (8, 30, (1, 5.5, 3)),
        (5, 30, (0, 0, 1)),
        (1, 25, (0, 1, 1)),
    ],
)
def test_where_nothing_differs_one_in_twenty_is_called_a_difference(
    seeds: int, images: int, of: tuple[float, float, float]
) -> None:
    random = np.random.default_rng(7)
    rejected = [compare(effects(random, seeds, images, of), np.zeros((seeds, images))).p < LEVEL for _ in range(2000)]
    assert 0.005 <= np.mean(rejected) <= 0.065, np.mean(rejected)


@pytest.mark.slow
def test_a_test_over_images_alone_would_mistake_luck_of_seeds_for_a_difference() -> None:
    random = np.random.default_rng(3)
    draws = [effects(random, 3, 40, (1, 0.3, 0.3)) for _ in range(500)]
    naive = np.mean([stats.ttest_1samp(draw.mean(0), 0).pvalue < LEVEL for draw in draws])
    ours = np.mean([compare(draw, np.zeros_like(draw)).p < LEVEL for draw in draws])
    assert naive > 0.5
    assert ours <= 0.08


def test_what_differs_is_found() -> None:
    random = np.random.default_rng(0)
    draws = [2 + effects(random, 5, 40, (0.5, 1, 1)) for _ in range(200)]
    assert np.mean([compare(draw, np.zeros_like(draw)).is_real for draw in draws]) > 0.9


def test_one_seed_is_never_real() -> None:
    found = compare(np.full((1, 20), 0.9) + np.arange(20) * 1e-4, np.zeros((1, 20)))
    assert found.p < 1e-6
    assert not found.is_real


def test_equal_entries_differ_by_nothing() -> None:
    scores = np.random.default_rng(0).normal(0, 1, (3, 9))
    found = compare(scores, scores)
    assert (found.value, found.p, found.is_real) == (0, 1, False)
    with pytest.raises(InputError, match="must match"):
        compare(scores, scores[:, 1:])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_only_raises_and_keeps_the_order(p_values: list[float]) -> None:
    raised = holm(p_values)
    assert all(after >= before for before, after in zip(p_values, raised, strict=True))
    assert max(raised) <= 1
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(raised)[order]) >= 0).all()


def test_miou_by_brute_force() -> None:
    random = np.random.default_rng(0)
    true, answered = random.integers(0, 4, 200), random.integers(0, 3, 200)
    table = np.zeros((5, 5), np.int64)
    np.add.at(table, (true, answered), 1)
    ious = [((true == k) & (answered == k)).sum() / ((true == k) | (answered == k)).sum() for k in range(4)]
    assert miou_of(table) == pytest.approx(np.mean(ious))
    assert np.isnan(miou_of(np.zeros((3, 3), np.int64)))


@given(st.lists(st.integers(0, 9), min_size=9, max_size=9))
def test_what_ranks_is_the_score_that_is_reported(counts: list[int]) -> None:
    table = np.array(counts, np.int64).reshape(3, 3)
    expected = ClassMatrix(table, ("a", "b", "c")).miou
    assert float(miou_of(table)) == pytest.approx(expected, nan_ok=True)


def test_pseudovalues_average_to_the_pooled_score() -> None:
    table = confusion(np.random.default_rng(0), (2, 50), 0.8)
    assert pseudovalues(table).mean(1) == pytest.approx(miou_of(table.sum(1)), abs=2e-3)
    with pytest.raises(InputError, match="two or more"):
        pseudovalues(table[:, :1])


def test_bootstrap_is_scipys() -> None:
    random = np.random.default_rng(0)
    skill = random.beta(8, 2, (1, 60, 1))
    table = confusion(random, (1, 60), skill)
    luck = "rng" if "rng" in signature(stats.bootstrap).parameters else "random_state"  # as SciPy before 1.15 calls it
    known = stats.bootstrap(
        (np.arange(60),),
        lambda chosen: miou_of(table[0, chosen].sum(0)),
        vectorized=False,
        method="percentile",
        n_resamples=2000,
        **{luck: np.random.default_rng(1)},
    ).confidence_interval
    found = bootstrap(table)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.006)
    assert found.low < found.value < found.high


def test_ranking_says_when_it_is_noise() -> None:
    random = np.random.default_rng(0)
    entries = {
        "low": confusion(random, (4, 30), 0.6),
        "same": confusion(random, (4, 30), 0.8),
        "top": confusion(random, (4, 30), 0.801),
    }
    standings = rank(entries)
    assert [standing.name for standing in standings][2] == "low"
    assert [standing.is_level for standing in standings] == [True, True, False]
    assert standings[0].behind is None
    assert standings[2].p is not None
    assert standings[2].p < 1e-3
    assert rank({}) == []


def test_one_entry_needs_no_test_and_one_image_no_spread() -> None:
    (alone,) = rank({"only": confusion(np.random.default_rng(0), (1, 1), 0.8)})
    assert alone.behind is None
    assert alone.interval.low == alone.interval.value == alone.interval.high


def test_mean_and_deviation() -> None:
    assert summary([1, 2, 3]) == (2, 1)
    assert summary([0.4]) == (0.4, 0)


@pytest.mark.slow
def test_two_entries_of_equal_worth_are_told_apart_one_time_in_twenty() -> None:
    random = np.random.default_rng(11)
    rejected = []
    for _ in range(600):
        of_images, (left, right) = random.normal(0, 0.5, 25), random.normal(0, 0.3, (2, 3))
        skills = [
            1 / (1 + np.exp(-1 - of_images[None, :, None] - of_seeds[:, None, None])) for of_seeds in (left, right)
        ]
        first, second = (pseudovalues(confusion(random, (3, 25), skill)) for skill in skills)
        rejected.append(compare(first, second).is_real)
    assert 0.02 <= np.mean(rejected) <= 0.075, np.mean(rejected)


@pytest.mark.filterwarnings("error")
def test_nothing_labelled_has_no_interval_and_warns_of_nothing() -> None:
    assert np.isnan(bootstrap(np.zeros((1, 2, 3, 3), np.int64), draws=5).low)
