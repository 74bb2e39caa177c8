"""Prompts as a person gives them: what is wrong is said in one line, what is right comes in any form."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.infer.promptable import Predictor
from sensam.sam.model import Sam


@pytest.fixture
def predictor(sam: Sam, photo: NDArray[np.uint8]) -> Predictor:
    ours = Predictor(sam)
    ours.set_image(photo)
    return ours


def test_points_by_row_and_column_may_be_turned_around(predictor: Predictor) -> None:
    places = np.array([[3, 20], [9, 31]])
    turned, written = (predictor.predict(points=points) for points in (places[:, ::-1], [[20, 3], [31, 9]]))
    assert torch.equal(turned.low_res_logits_NMhw, written.low_res_logits_NMhw)


MISTAKES = [
    ({}, "No prompt"),
    ({"points": []}, "points is empty"),
    ({"points": np.zeros((0, 2, 2))}, "points is empty"),
    ({"boxes": np.zeros((0, 4))}, "boxes is empty"),
    ({"labels": [1]}, "Labels were given without points"),
    ({"points": [90, 5]}, r"click \(90, 5\) lies outside the image of 90 x 50"),
    ({"points": [5, 50]}, "0 <= y < 50"),
    ({"points": [[5, 5], [-0.5, 5]]}, r"click \(-0.5, 5\) lies outside"),
    ({"points": [np.nan, 5]}, "points hold NaN"),
    ({"points": [5, np.inf]}, "points hold NaN or infinite"),
    ({"points": [1, 2, 3]}, r"points have shape \(3,\)"),
    ({"points": [[1, 2], [3]]}, "rows of equal length"),
    ({"points": "here"}, "points must be numbers"),
    ({"points": [5, 5], "labels": [2]}, r"1 \(inside\), 0 \(outside\).*found 2"),
    ({"points": [5, 5], "labels": [0.5]}, "found 0.5"),
    ({"points": [5, 5], "labels": [1, 1]}, r"labels have shape \(2,\), but there are 1 prompts of 1 points"),
    ({"points": np.ones((2, 3, 2)), "labels": np.ones((3, 2))}, r"labels have shape \(3, 2\)"),
    ({"points": [[5, 5]], "labels": [-10]}, "nothing but padding"),
    ({"boxes": [5, 5, 5, 9]}, r"box \(5, 5, 5, 9\) has no area: needed x0 < x1"),
    ({"boxes": [[1, 1, 3, 3], [5, 9, 8, 5]]}, r"box \(5, 9, 8, 5\) has no area"),
    ({"boxes": [5, 5, 91, 9]}, "box .* partly outside the image of 90 x 50"),
    ({"boxes": [5, 5, 9]}, r"boxes have shape \(3,\)"),
    ({"boxes": [5, np.nan, 9, 9]}, "boxes hold NaN"),
    ({"masks": np.zeros((32, 30))}, r"masks have shape \(32, 30\); needed: one mask of 32 x 32"),
    ({"masks": np.zeros((2, 3, 32, 32))}, r"shape \(2, 3, 32, 32\)"),
    ({"masks": np.full((32, 32), np.nan)}, "masks hold NaN"),
    ({"points": np.ones((2, 1, 2)), "boxes": [1, 1, 3, 3]}, r"same prompts; found \[1, 2\]"),
]


@pytest.mark.parametrize(("prompt", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_are_explained_in_one_line(predictor: Predictor, prompt: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        predictor.predict(**prompt)
    assert "\n" not in str(caught.value)


def test_padding_points_may_lie_anywhere(predictor: Predictor) -> None:
    padded = predictor.predict([[[30, 20], [-10, -10]]], [[1, -10]])
    elsewhere = predictor.predict([[[30, 20], [7, 900]]], [[1, -10]])
    assert torch.equal(padded.low_res_logits_NMhw, elsewhere.low_res_logits_NMhw)
