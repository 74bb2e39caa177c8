"""Triples: different bands in every order, uniform, balanced together, and drawn from a generator alone."""

from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from sensam.nn.missing import drop_bands
from sensam.nn.selector import choose_from_bank, count_triples, draw_bank, draw_triples


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(bands=st.integers(3, 40), count=st.integers(1, 30), seed=st.integers(0, 999))
def test_three_different_bands_and_balanced_together(bands: int, count: int, seed: int) -> None:
    triples = draw_triples(dice(seed), bands, count)
    assert triples.shape == (count, 3)
    assert all(len(set(triple)) == 3 for triple in triples.tolist())
    assert triples.min() >= 0
    assert triples.max() < bands
    shares = [triples.flatten().tolist().count(band) for band in range(bands)]
    assert max(shares) - min(shares) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("bands", "count"), [(4, 1), (4, 3), (5, 2)])
def test_every_triple_is_as_likely_also_as_one_of_several(bands: int, count: int) -> None:
    generator = dice()
    drawn = [tuple(draw_triples(generator, bands, count)[-1].tolist()) for _ in range(12_000)]
    seen = Counter(drawn)
    expected = set(permutations(range(bands), 3))
    assert set(seen) == expected
    assert count_triples(bands) == len(expected)
    assert chisquare(list(seen.values())).pvalue > 1e-3


@pytest.mark.slow
def test_over_many_draws_every_band_and_every_triple_gets_its_share() -> None:
    bands, draws, generator = 16, 100_000, dice()
    triples_N3 = torch.cat([draw_triples(generator, bands, 1) for _ in range(draws)])
    picks = triples_N3.flatten()
    shares = torch.bincount(picks, minlength=bands) / len(picks)
    sigma = (1 / bands * (1 - 1 / bands) / len(picks)) ** 0.5
    assert ((shares - 1 / bands).abs() < 4 * sigma).all()
    included = shares * 3  # no triple has a band twice
    assert ((included - 3 / bands).abs() < 4 * (3 / bands * (1 - 3 / bands) / draws) ** 0.5).all()
    seen = Counter(map(tuple, triples_N3.tolist()))
    assert len(seen) == count_triples(bands) == 3360
    assert chisquare(list(seen.values())).pvalue > 1e-3


def test_the_same_generator_gives_the_same_triples() -> None:
    torch.testing.assert_close(draw_triples(dice(3), 9, 5), draw_triples(dice(3), 9, 5), rtol=0, atol=0)


@pytest.mark.parametrize("bands", [1, 2])
def test_one_or_two_bands_are_repeated_and_all_shown(bands: int) -> None:
    triples = {tuple(triple) for triple in draw_triples(dice(), bands, 300).tolist()}
    assert all(set(triple) == set(range(bands)) for triple in triples)
    assert len(triples) == count_triples(bands)


@given(bands=st.integers(1, 9), count=st.integers(1, 70), seed=st.integers(0, 99))
def test_a_bank_holds_different_triples_as_drawn_as_long_as_there_are_any(bands: int, count: int, seed: int) -> None:
    bank, drawn = draw_bank(dice(seed), bands, count).tolist(), draw_triples(dice(seed), bands, count).tolist()
    assert len({tuple(triple) for triple in bank}) == len(bank) == min(count, count_triples(bands))
    if len({tuple(triple) for triple in drawn}) == count:
        assert bank == drawn


def test_a_bank_gives_different_triples_of_its_own() -> None:
    bank = draw_bank(dice(1), 8, 6)
    chosen = choose_from_bank(dice(2), bank, 4).tolist()
    assert len({tuple(triple) for triple in chosen}) == 4
    assert all(triple in bank.tolist() for triple in chosen)
    again = choose_from_bank(dice(2), bank, 9).tolist()
    assert again[:4] == chosen
    assert len(again) == 9


@given(share=st.floats(0, 1), seed=st.integers(0, 999))
def test_of_missing_bands_at_least_one_stays_and_nothing_else_changes(share: float, seed: int) -> None:
    image = torch.rand(3, 5, 2, 2) + 1
    dropped = drop_bands(image, share, [dice(seed + row) for row in range(3)])
    kept = dropped.flatten(2).any(2)
    assert kept.any(1).all()
    assert torch.equal(dropped[kept], image[kept])
    assert not dropped[~kept].any()


def test_bands_go_missing_as_often_as_asked() -> None:
    kept = drop_bands(torch.ones(2000, 10, 1, 1), 0.3, [dice(row) for row in range(2000)])
    assert kept.mean().item() == pytest.approx(0.7, abs=0.015)
