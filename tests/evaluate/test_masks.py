"""Where a mask is clicked, and how much two masks have in common."""

import numpy as np
import pytest

from sensam.evaluate.masks import innermost, iou


def test_the_innermost_pixel_is_far_from_every_edge() -> None:
    mask = np.zeros((21, 31), np.bool_)
    mask[3:18, 5:20] = True
    assert innermost(mask) == (12, 10)
    assert innermost(np.ones((5, 5), np.bool_)) == (2, 2)  # the edge of the image is an edge


def test_iou_by_hand() -> None:
    truth = np.array([[[True, True, False]], [[True, True, True]], [[False, False, False]]])
    found = np.array([[[False, True, True]], [[True, True, True]], [[False, False, False]]])
    assert iou(found, truth).tolist() == pytest.approx([1 / 3, 1, 0])
