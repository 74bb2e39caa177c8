"""Scenes are reproducible, of any size, and their regions are what is seen."""

import numpy as np
import pytest

from sensam.sam.nano.scenes import make_scene


def test_the_same_arguments_give_the_same_scene() -> None:
    one, two = (make_scene(3, 5, (48, 64)) for _ in range(2))
    np.testing.assert_array_equal(one.image_HW3, two.image_HW3)
    np.testing.assert_array_equal(one.regions_NHW, two.regions_NHW)


def test_seed_and_index_both_matter() -> None:
    images = [make_scene(seed, index, (32, 32)).image_HW3 for seed in range(2) for index in range(3)]
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("size", [(64, 64), (37, 81), (128, 32)])
def test_any_size(size: tuple[int, int]) -> None:
    scene = make_scene(0, 1, size)
    assert scene.image_HW3.shape == (*size, 3)
    assert scene.image_HW3.dtype == np.uint8
    assert scene.parts_HW.shape == size
    assert scene.regions_NHW.shape[1:] == size


def test_regions_are_unions_of_parts_and_large_enough_to_click() -> None:
    for index in range(20):
        scene = make_scene(0, index, (64, 64))
        for region in scene.regions_NHW:
            inside = np.unique(scene.parts_HW[region])
            np.testing.assert_array_equal(np.isin(scene.parts_HW, inside), region)
            assert region.sum() >= 0.004 * region.size


@pytest.mark.slow
def test_regions_differ_in_looks_from_what_surrounds_them() -> None:
    """A label without any trace in the image would teach nothing: most regions have their own mean colour."""
    told_apart = total = 0
    for index in range(30):
        scene = make_scene(0, index, (64, 64))
        pixels = scene.image_HW3.astype(float)
        for region in scene.regions_NHW:
            if 0.9 > region.mean() > 0.02:
                gap = np.abs(pixels[region].mean(0) - pixels[~region].mean(0)).max()
                told_apart += gap > 10
                total += 1
    assert total > 100
    assert told_apart / total > 0.7
