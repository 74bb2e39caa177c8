"""Speckle, layover and shadow as theory has them; ground that no two scenes share."""

import numpy as np
import pytest

from sensam.data.synthetic import family
from sensam.data.synthetic.sar import BUILDING, IGNORE, PIXEL_M, VEGETATION, WATER, reach, speckled


@pytest.mark.parametrize("looks", [1, 2, 4, 9])
def test_speckle_has_mean_one_and_varies_with_one_over_root_looks(looks: int) -> None:
    mean = np.full((300, 300), 0.07, np.float32)
    intensity = speckled(np.random.default_rng(looks), mean, looks)
    assert intensity.mean() / 0.07 == pytest.approx(1, abs=0.02)
    assert intensity.std() / intensity.mean() == pytest.approx(1 / np.sqrt(looks), rel=0.03)
    neighbours = np.corrcoef(intensity[:, 1:].ravel(), intensity[:, :-1].ravel())[0, 1]
    assert neighbours == pytest.approx(0, abs=0.02)


def test_single_look_amplitude_is_rayleigh() -> None:
    amplitude = np.sqrt(speckled(np.random.default_rng(0), np.ones((400, 400), np.float32), 1))
    assert amplitude.std() / amplitude.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), rel=0.02)


def test_speckle_survives_into_the_scene() -> None:
    """Open water is flat: what varies there within a few pixels is speckle alone."""
    checked = 0
    for index in range(12):
        scene = family("sar").make(1, index, (96, 96), domain="wetland")
        intensity = scene.raster.pixels_CHW[0] ** 2
        blocks = intensity.reshape(12, 8, 12, 8).swapaxes(1, 2).reshape(144, 64)
        water = (scene.label_HW == WATER).reshape(12, 8, 12, 8).swapaxes(1, 2).reshape(144, 64).all(axis=1)
        if water.sum() >= 6:
            checked += 1
            ratio = (blocks[water].std(axis=1, ddof=1) / blocks[water].mean(axis=1)).mean()
            assert ratio == pytest.approx(1 / np.sqrt(float(scene.meta["looks"])), rel=0.25)
    assert checked >= 5


def test_buildings_reach_towards_the_antenna_and_throw_shadows_away_from_it() -> None:
    height = np.zeros((1, 20), np.float32)
    height[0, 10:12] = 4
    np.testing.assert_array_equal(np.flatnonzero(reach(height, 1.0, 8, towards=-1)), np.arange(6, 11))
    np.testing.assert_array_equal(np.flatnonzero(reach(height, 0.5, 8, towards=+1)), [11, 12, 13])
    assert not reach(height, 0.1, 8, towards=-1).any()


def test_walls_are_bright_in_front_of_buildings() -> None:
    ratios = []
    for index in range(8):
        scene = family("sar").make(0, index, (96, 96), domain="urban")
        building = scene.label_HW == BUILDING
        front = building[:, 1:] & ~building[:, :-1]
        intensity = scene.raster.pixels_CHW[0] ** 2
        behind = building[:, :-1] & ~building[:, 1:]
        ratios.append(intensity[:, 1:][front].mean() / intensity[:, :-1][behind].mean())
    assert np.median(ratios) > 2


def test_vegetation_depolarizes() -> None:
    scene = family("sar:dual").make(0, 3, (96, 96), domain="rural")
    vv, vh = scene.raster.pixels_CHW**2
    green, bare = scene.label_HW == VEGETATION, scene.label_HW == 0
    assert vh[green].mean() / vv[green].mean() > 1.5 * vh[bare].mean() / vv[bare].mean()


def test_where_the_swath_ends_there_is_no_data_and_no_label() -> None:
    scenes = [family("sar:dual").make(0, index, (40, 40)) for index in range(60)]
    cut = [scene for scene in scenes if not scene.raster.valid_CHW.all()]
    assert 2 <= len(cut) <= 18
    for scene in scenes:
        np.testing.assert_array_equal(scene.label_HW == IGNORE, ~scene.raster.valid_HW)
        np.testing.assert_array_equal(scene.raster.valid_CHW[0], scene.raster.valid_CHW[1])


def test_every_scene_has_ground_of_its_own_at_three_metres() -> None:
    places = [family("sar").make(0, index, (20, 24)).raster for index in range(60)]
    assert len({(place.transform.c, place.transform.f) for place in places}) == 60
    for place in places:
        assert (place.transform.a, place.transform.e) == (PIXEL_M, -PIXEL_M)
        assert place.crs.to_epsg() == 32650
        assert (place.transform.c - 200_000) % (24 * PIXEL_M) == 0
