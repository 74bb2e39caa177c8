"""Streaming statistics equal numpy's on everything at once, in any chunks and any order of merging."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sensam.data.statistics import PERCENTILES, BandGatherer, Moments

numbers = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e4, 1e4, width=32))


@pytest.mark.slow
@given(st.lists(numbers, min_size=1, max_size=6))
def test_moments_equal_numpy(chunks: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    found = Moments()
    for chunk in chunks:
        found.merge(Moments.of(chunk))
    everything = np.concatenate(chunks).astype(np.float64)
    assert found.count == everything.size
    assert np.isclose(found.mean, everything.mean(), rtol=1e-12, atol=1e-9)
    assert np.isclose(found.std, everything.std(), rtol=1e-9, atol=1e-7)
    assert (found.low, found.high) == (everything.min(), everything.max())


def test_a_small_spread_on_a_large_mean_survives() -> None:
    values = (1e6 + np.random.default_rng(0).normal(0, 0.5, 100_000)).astype(np.float32)
    halves = [Moments(), Moments()]
    for half, part in zip(halves, np.split(values, 2), strict=True):
        for chunk in np.split(part, 10):
            half.merge(Moments.of(chunk))
    halves[0].merge(halves[1])
    halves[0].merge(Moments())
    assert abs(halves[0].std - values.astype(np.float64).std()) < 1e-9


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_percentiles_of_whole_numbers_are_exactly_numpy_s(dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.random.default_rng(1).integers(limits.min, limits.max + 1, 1001).astype(dtype)
    gatherer = BandGatherer()
    for chunk in np.array_split(values, 4):
        gatherer.add(chunk.astype(np.float32), (0.5, -3.0))
    expected = np.percentile(values * 0.5 - 3.0, PERCENTILES)
    assert np.allclose(gatherer.percentiles(PERCENTILES), expected, rtol=1e-12)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e5])
def test_percentiles_of_fractions_are_close(spread: float) -> None:
    values = np.random.default_rng(2).normal(-15 * spread, 4 * spread, 20_000).astype(np.float32)
    gatherer = BandGatherer()
    for chunk in np.array_split(values, 5):
        gatherer.add(chunk)
    expected = np.percentile(values, PERCENTILES)
    found = np.array(gatherer.percentiles(PERCENTILES))
    assert (np.abs(found - expected) <= np.abs(expected) / 256).all()


def test_fractions_after_whole_numbers_and_files_packed_otherwise() -> None:
    gatherer = BandGatherer()
    first, second = np.arange(100, dtype=np.float32), np.arange(0, 50, 0.5, dtype=np.float32)
    gatherer.add(first, (2.0, 1.0))
    gatherer.add(second, (4.0, 1.0))
    physical = np.concatenate([first * 2 + 1, second * 4 + 1]).astype(np.float64)
    summary = gatherer.summary()
    assert summary is not None
    assert np.isclose(summary.mean, physical.mean(), rtol=1e-12)
    assert np.isclose(summary.std, physical.std(), rtol=1e-12)
    assert (summary.min, summary.max) == (1.0, 199.0)
    assert abs(summary.percentiles["p50"] - np.percentile(physical, 50)) < 1


def test_a_negative_scale_turns_percentiles_around() -> None:
    gatherer = BandGatherer()
    values = np.random.default_rng(3).integers(0, 1000, 500).astype(np.float32)
    gatherer.add(values, (-1.0, 0.0))
    assert np.allclose(gatherer.percentiles([2, 98]), np.percentile(-values, [2, 98]))


def test_nothing_seen_is_no_summary() -> None:
    gatherer = BandGatherer()
    gatherer.add(np.empty(0, np.float32))
    assert gatherer.summary() is None
