"""Regions by rule, and clicks that depend on seed, epoch and place alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sensam.data.clicks import RegionRule, Regions, find_regions, sample_grid, scoring_clicks, training_clicks
from sensam.errors import SettingsError

LABEL = np.array([[0, 0, 1, 1], [2, 0, 0, 1], [2, 2, 0, 0], [1, 0, 255, 255]])
maps = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 2, 5, 255]))


def kept(label_HW: np.ndarray, rule: RegionRule, *, training: bool = False) -> list[int]:  # type: ignore[type-arg]
    """The labels that became regions."""
    regions = find_regions(label_HW, rule, training=training)
    return [int(label_HW[regions.mask(number)][0]) for number in range(1, len(regions) + 1)]


def test_background_and_ignore_are_dropped_by_name_and_never_the_smallest_label() -> None:
    assert kept(LABEL, RegionRule()) == [1, 2]
    assert kept(LABEL[:, 2:], RegionRule()) == [1]
    assert kept(np.array([[3, 3], [4, 255]]), RegionRule()) == [3, 4]  # no background: all regions stay
    assert kept(LABEL, RegionRule(background=None)) == [0, 1, 2]
    assert kept(LABEL, RegionRule(background=1)) == [0, 2]
    assert kept(np.array([[255, 0]]), RegionRule()) == []


def test_areas_are_shares_of_the_image_with_one_inequality_everywhere() -> None:
    for training in (False, True):
        assert kept(LABEL, RegionRule(smallest=3 / 16), training=training) == [1]
        assert kept(LABEL, RegionRule(smallest=0.18), training=training) == [1, 2]
    assert kept(np.kron(LABEL, np.ones((8, 8), int)), RegionRule(smallest=3 / 16)) == [1]  # at any size


def test_pieces_are_regions_of_their_own_when_asked() -> None:
    regions = find_regions(LABEL, RegionRule("connected"))
    assert sorted(regions.areas_N.tolist()) == [1, 3, 3]
    assert kept(LABEL, RegionRule("connected")) == [1, 1, 2]
    assert len(find_regions(np.array([[1, 0], [0, 1]]), RegionRule("connected"))) == 1  # corners touch


def test_the_legacy_rule_drops_the_smallest_label_that_is_left_whatever_it_is() -> None:
    legacy = RegionRule(legacy=True)
    assert kept(LABEL, legacy) == [1, 2]
    assert kept(np.array([[3, 3], [4, 4]]), legacy) == [4]  # a real region lost: no background
    assert kept(LABEL, RegionRule(legacy=True, smallest=3 / 16)) == [1]
    assert kept(LABEL, RegionRule(legacy=True, smallest=3 / 16), training=True) == [1, 2]
    with pytest.raises(SettingsError, match="not connected pieces"):
        RegionRule("connected", legacy=True)
    with pytest.raises(SettingsError, match="0 to 1"):
        RegionRule(smallest=100)


@settings(max_examples=60, deadline=None)
@given(maps, st.sampled_from(["label", "connected"]), st.integers(0, 3), st.integers(0, 9))
def test_every_click_lies_in_its_region(label_HW: np.ndarray, by: str, epoch: int, index: int) -> None:  # type: ignore[type-arg]
    regions = find_regions(label_HW, RegionRule(by))  # type: ignore[arg-type]
    assert regions.areas_N.tolist() == [regions.mask(n).sum() for n in range(1, len(regions) + 1)]
    assert (regions.region_HW > 0).sum() == (~np.isin(label_HW, [0, 255])).sum()
    for click in (*training_clicks(regions, 2, 0, epoch, index), *scoring_clicks(regions)):
        assert regions.region_HW[click.y, click.x] == click.region > 0


def test_the_scoring_click_is_the_middle_pixel_read_row_by_row() -> None:
    label_HW = np.zeros((4, 5), int)
    label_HW[0, 1] = label_HW[1, 4] = label_HW[3, 0] = label_HW[3, 2] = 7
    (click,) = scoring_clicks(find_regions(label_HW, RegionRule()))
    assert (click.x, click.y) == (0, 3)  # place 2 of 4, x before y
    label_HW[3, 2] = 0
    (click,) = scoring_clicks(find_regions(label_HW, RegionRule()))
    assert (click.x, click.y) == (4, 1)  # place 1 of 3


def ask(regions: Regions, count: int, place: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    return [(click.x, click.y, click.region) for click in training_clicks(regions, count, *place)]


def test_clicks_are_a_function_of_seed_epoch_and_index() -> None:
    regions = find_regions(np.kron(LABEL, np.ones((8, 8), int)), RegionRule())
    places = [(seed, epoch, index) for seed in range(3) for epoch in range(3) for index in range(3)]
    drawn = {place: ask(regions, 1, place)[0] for place in places}
    np.random.default_rng(3).random(7)
    assert all(ask(regions, 1, place)[0] == drawn[place] for place in reversed(places))
    assert len(set(drawn.values())) > 20


def test_regions_and_their_pixels_are_drawn_evenly() -> None:
    label_HW = np.zeros((4, 8), int)
    label_HW[0, :8] = 1
    label_HW[2, :2] = 2  # four times smaller, asked for as often
    regions = find_regions(label_HW, RegionRule())
    drawn = Counter(ask(regions, 1, (0, 0, index))[0] for index in range(4000))
    by_region = Counter()
    for (_, _, region), count in drawn.items():
        by_region[region] += count
    assert abs(by_region[1] - 2000) < 5 * 4000**0.5 / 2
    assert len(drawn) == 10
    assert all(abs(count - 250) < 5 * 250**0.5 for place, count in drawn.items() if place[2] == 1)
    assert all(abs(count - 1000) < 5 * 1000**0.5 for place, count in drawn.items() if place[2] == 2)


def test_a_region_comes_again_only_after_all_others() -> None:
    regions = find_regions(LABEL, RegionRule())
    asked = [region for _, _, region in ask(regions, 5, (0, 0, 0))]
    assert sorted(asked[:2]) == sorted(asked[2:4]) == [1, 2]
    assert ask(find_regions(np.zeros((2, 2), int), RegionRule()), 3, (0, 0, 0)) == []


def test_the_decoders_grid_takes_middle_pixels_or_as_published_the_first() -> None:
    image = np.arange(16 * 20).reshape(16, 20)
    assert sample_grid(image, 16, legacy=True).tolist() == np.pad(image, ((0, 0), (0, 12)))[::4, ::4].tolist()
    assert sample_grid(image, 16)[1, 2] == image[6, 10]
    assert sample_grid(image[:10, :9], 8).shape == (8, 8)  # padded to whole patches, four numbers each
