"""Run lengths hold exactly the mask, duplicates go, speckle goes and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage

from sensam.errors import InputError
from sensam.sam.regions import (
    Regions,
    bounding_box,
    decode_runs,
    encode_runs,
    join_regions,
    no_regions,
    remove_speckle,
    without_duplicates,
    without_speckle,
)

Mask = NDArray[np.bool_]
MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


def by_definition(mask: Mask) -> list[int]:
    """COCO's uncompressed counts, one pixel after the other."""
    counts, current = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != current:
            counts.append(0)
            current = pixel
        counts[-1] += 1
    return counts


def regions_of(masks: list[Mask], scores: list[float] | None = None) -> Regions:
    count = len(masks)
    return Regions(
        masks[0].shape,
        tuple(encode_runs(mask) for mask in masks),
        np.stack([bounding_box(mask) for mask in masks]),
        np.array(scores or np.linspace(1, 0.5, count), np.float32),
        np.full(count, 0.9, np.float32),
        np.zeros((count, 2), np.float32),
    )


@given(MASKS)
def test_runs_are_those_of_the_definition_and_lead_back(mask: Mask) -> None:
    counts = encode_runs(mask)
    assert counts.tolist() == by_definition(mask)
    assert np.array_equal(decode_runs(counts, mask.shape), mask)
    assert counts[1::2].sum() == mask.sum()


@given(MASKS, st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
def test_a_window_is_placed_in_its_image(mask: Mask, top: int, left: int, below: int, beside: int) -> None:
    whole = np.pad(mask, ((top, below), (left, beside)))
    assert encode_runs(mask, whole.shape, (top, left)).tolist() == by_definition(whole)


@given(MASKS)
def test_boxes_hold_every_pixel_and_no_empty_edge(mask: Mask) -> None:
    x0, y0, x1, y1 = bounding_box(mask)
    inside = mask[y0:y1, x0:x1]
    assert inside.sum() == mask.sum()
    if mask.any():
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


@settings(max_examples=60)
@given(arrays(np.bool_, (8, 9)), st.integers(1, 12))
def test_speckle_smaller_than_asked_is_gone(mask: Mask, least: int) -> None:
    clean = remove_speckle(mask, least)
    neighbours = np.ones((3, 3))

    def areas(of: Mask) -> list[int]:
        labels, count = ndimage.label(of, neighbours)
        return [int((labels == i).sum()) for i in range(1, count + 1)]

    islands = areas(clean)
    assert len(islands) <= 1 or min(islands) >= least
    assert clean.any() or not mask.any()
    if min(areas(mask) + areas(~mask)) >= least:
        assert np.array_equal(clean, mask)


def test_holes_close_and_islands_go() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[1:8, 1:8] = True
    mask[4, 4] = False
    mask[10, 10] = True
    wanted = np.zeros_like(mask)
    wanted[1:8, 1:8] = True
    assert np.array_equal(remove_speckle(mask, 2), wanted)
    assert np.array_equal(remove_speckle(mask, 1), mask)


def test_masks_that_become_the_same_leave_one_and_the_untouched_wins() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[1:8, 1:8] = True
    speckled = mask.copy()
    speckled[10, 10] = True
    valid = np.ones_like(mask)
    kept = without_speckle(regions_of([speckled, mask]), least=2, max_overlap=0.7, valid_HW=valid)
    assert len(kept) == 1
    assert np.array_equal(kept.mask(0), mask)
    assert kept.scores_N.tolist() == [0.5]
    assert len(without_speckle(no_regions((12, 12)), 2, 0.7, valid)) == 0


def test_a_hole_without_data_stays_open() -> None:
    mask = np.ones((12, 12), np.bool_)
    mask[4, 4] = mask[8, 8] = False
    valid = np.ones_like(mask)
    valid[8, 8] = False
    (kept,) = without_speckle(regions_of([mask]), 5, 0.7, valid).masks()
    assert np.array_equal(kept, valid)


def test_of_overlapping_boxes_the_best_stays() -> None:
    masks = [np.zeros((20, 20), np.bool_) for _ in range(3)]
    masks[0][0:10, 0:10] = True
    masks[1][0:10, 0:9] = True  # IoU of the boxes 0.9
    masks[2][0:10, 5:15] = True  # 1/3 and 4/14
    kept = without_duplicates(regions_of(masks, [0.6, 0.9, 0.7]), 0.7)
    assert kept.scores_N.tolist() == pytest.approx([0.9, 0.7])
    assert np.array_equal(kept.masks(), np.stack([masks[1], masks[2]]))
    assert len(without_duplicates(regions_of(masks), 0.95)) == 3


def test_lines_one_pixel_wide_are_duplicates_too() -> None:
    line = np.zeros((9, 9), np.bool_)
    line[4] = True
    assert len(without_duplicates(regions_of([line, line]), 0.7)) == 1


def test_joined_regions_keep_their_order() -> None:
    first, second = np.eye(4, dtype=np.bool_), np.ones((4, 4), np.bool_)
    joined = join_regions([no_regions((4, 4)), regions_of([first]), regions_of([second])])
    assert np.array_equal(joined.masks(), np.stack([first, second]))
    assert joined.areas_N.tolist() == [4, 16]
    assert np.array_equal(joined.take([1]).mask(0), second)
    with pytest.raises(InputError, match="2 sizes"):
        join_regions([no_regions((4, 4)), no_regions((4, 5))])
