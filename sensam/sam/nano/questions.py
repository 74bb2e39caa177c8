"""What is asked about a region: a click in it, a box around it, and what a box may mean besides one thing."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import label

Mask = NDArray[np.bool_]


def join_neighbours(rng: Generator, regions_NHW: Mask, pick: int) -> Mask:
    """What hangs together with a region inside a wider box: a rider with the horse, a house with its windows.

    What people outline in photographs is seldom of one surface. Its box tells: it touches all four sides, and the
    things it is made of do not.
    """
    x0, y0, x1, y1 = box_around(rng, regions_NHW[pick], spread=0.0)
    left, right = rng.uniform(0, 0.7, 2) * (x1 - x0 + 1)
    up, down = rng.uniform(0, 0.7, 2) * (y1 - y0 + 1)
    columns = slice(max(0, round(x0 - left)), round(x1 + right) + 1)
    rows = slice(max(0, round(y0 - up)), round(y1 + down) + 1)
    inside = regions_NHW[:, rows, columns].sum((1, 2)) / regions_NHW.sum((1, 2))
    inside[pick] = 1.0
    pieces, _ = label(regions_NHW[inside > 0.9].any(0))
    return np.asarray(pieces == pieces[regions_NHW[pick]].max())


def click_inside(rng: Generator, mask_HW: NDArray[np.bool_], tries: int = 1) -> NDArray[np.float32]:
    """Any pixel of the region, as x and y; of several tries the one with most of the region around it."""
    rows, columns = np.nonzero(mask_HW)
    picks = rng.integers(len(rows), size=tries)
    reach = max(2, min(mask_HW.shape) // 20)
    around = [
        mask_HW[max(0, rows[p] - reach) : rows[p] + reach + 1, max(0, columns[p] - reach) : columns[p] + reach + 1]
        for p in picks
    ]
    pick = picks[int(np.argmax([window.mean() for window in around]))]
    return np.array([columns[pick], rows[pick]], np.float32)


def box_around(rng: Generator, mask_HW: NDArray[np.bool_], spread: float = 0.1) -> NDArray[np.float32]:
    """The region's box, each side moved by about `spread` of its length, as a hand would draw it."""
    rows, columns = np.nonzero(mask_HW.any(1))[0], np.nonzero(mask_HW.any(0))[0]
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)
    reach = np.tile(box[2:] - box[:2], 2)
    loose = box + rng.normal(0, 1, 4).clip(-2, 2) * spread * reach
    limit = np.tile(np.array(mask_HW.shape[::-1], np.float32) - 1, 2)
    return loose.clip(0, limit).astype(np.float32)
