"""Noise that is as rough and as repeatable as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensam.data.synthetic.fields import hashed, noise_tile, power_noise, smoothstep, top_share


def test_noise_is_standard_and_steeper_slopes_are_smoother() -> None:
    rng = np.random.default_rng(0)
    steps = []
    for slope in (0.5, 1.5, 3.0):
        fields = power_noise(rng, (60, 70), slope=slope, outer=40, count=4)
        assert fields.shape == (4, 60, 70)
        np.testing.assert_allclose(fields.mean(axis=(1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(fields.std(axis=(1, 2)), 1, atol=1e-4)
        steps.append(np.abs(np.diff(fields, axis=1)).mean())
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_stretch_draws_structures_out_along_columns() -> None:
    field = power_noise(np.random.default_rng(1), (96, 96), slope=1.8, outer=50, stretch=3.0)[0]
    assert np.abs(np.diff(field, axis=0)).mean() < 0.6 * np.abs(np.diff(field, axis=1)).mean() or (
        np.abs(np.diff(field, axis=1)).mean() < 0.6 * np.abs(np.diff(field, axis=0)).mean()
    )


def test_a_tile_continues_at_its_opposite_edge() -> None:
    tile = noise_tile(np.random.default_rng(0), 64, slope=1.5, outer=20)
    inner = np.abs(np.diff(tile, axis=1)).mean(axis=0)
    assert np.abs(tile[:, -1] - tile[:, 0]).mean() < 1.5 * inner.max()


@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_top_share_takes_exactly_what_was_asked_for(share: float, seed: int) -> None:
    field = np.random.default_rng(seed).random((13, 17)).astype(np.float32)
    mask = top_share(field, share)
    assert mask.sum() == round(share * field.size)
    assert mask.sum() in (0, field.size) or field[mask].min() > field[~mask].max()


@given(share=st.floats(0.01, 0.9), seed=st.integers(0, 50))
def test_top_share_stays_within_its_bounds(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    field, among = rng.random((13, 17)).astype(np.float32), rng.random((13, 17)) < 0.3
    mask = top_share(field, share, among)
    assert not (mask & ~among).any()
    assert mask.sum() == min(round(share * field.size), among.sum())


def test_hashed_is_uniform_and_knows_nothing_but_its_integers() -> None:
    row, column = np.mgrid[-50:50, -50:50]
    values = hashed(row, column, salt=3)
    np.testing.assert_array_equal(values, hashed(row, column, salt=3))
    assert hashed(row[7:8, 9:10], column[7:8, 9:10], salt=3)[0, 0] == values[7, 9]
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    assert counts.min() > 850
    assert counts.max() < 1150
    assert np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1] == pytest.approx(0, abs=0.05)
    assert not np.array_equal(values, hashed(row, column, salt=4))


def test_smoothstep_rises_from_0_to_1() -> None:
    np.testing.assert_allclose(smoothstep(np.array([-1, 0, 1, 2, 9], np.float32), 0, 2), [0, 0, 0.5, 1, 1])
