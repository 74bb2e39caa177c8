"""Questions: clicks and boxes on known masks, and neighbours that are asked for as one."""

import numpy as np

from sensam.sam.nano.questions import box_around, click_inside, join_neighbours


def test_click_and_box_on_a_known_mask() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:9, 10:21] = True
    rng = np.random.default_rng(0)
    clicks = np.array([click_inside(rng, mask) for _ in range(500)])
    assert clicks.min(0).tolist() == [10, 4]
    assert clicks.max(0).tolist() == [20, 8]
    boxes = np.array([box_around(rng, mask) for _ in range(500)])
    np.testing.assert_allclose(boxes.mean(0), [10, 4, 20, 8], atol=0.15)
    assert np.abs(boxes - [10, 4, 20, 8]).max() <= 0.2 * 10 + 1e-5
    assert box_around(rng, mask, spread=0.0).tolist() == [10, 4, 20, 8]
    careful = np.array([click_inside(rng, mask, tries=6) for _ in range(500)])
    middle = np.array([15, 6])
    assert np.abs(careful - middle).mean() < 0.8 * np.abs(clicks - middle).mean()


def test_neighbours_inside_a_wider_box_are_joined_and_nothing_else_is() -> None:
    picked, inside, touching, apart, behind = (np.zeros((40, 40), bool) for _ in range(5))
    picked[10:20, 10:20] = True
    touching[20:23, 12:18] = True
    inside[12:16, 12:16] = True  # a part of the picked one
    apart[10:13, 22:24] = True  # near, but something lies between
    behind[:, 25:] = True
    regions = np.stack([picked, inside, touching, apart, behind])
    found = [join_neighbours(np.random.default_rng(seed), regions, 0) for seed in range(40)]
    assert all((mask >= picked).all() for mask in found)
    assert all(not mask[behind | apart].any() for mask in found)
    with_neighbour = [mask for mask in found if mask[touching].any()]
    assert 0 < len(with_neighbour) < 40
    assert all(np.array_equal(mask, picked | touching) for mask in with_neighbour)
    assert all(np.array_equal(mask, picked) for mask in found if not mask[touching].any())
