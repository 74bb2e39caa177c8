"""Fog is rare, lies at the sea's temperature, and shows only in differences of bands."""

import numpy as np
import pytest

from sensam.data.synthetic import family
from sensam.data.synthetic.seafog import FOG, LOW_CLOUD, SEA, fog_only

OF = family("seafog")
B07, B13, B16 = (OF.sensor.index(name) for name in ("B07", "B13", "B16"))


@pytest.fixture(scope="module")
def scenes() -> list:
    return [OF.make(0, index, (48, 48)) for index in range(200)]


def test_four_percent_of_all_pixels_are_fog(scenes: list) -> None:
    assert np.mean([(scene.label_HW == FOG).mean() for scene in scenes]) == pytest.approx(0.04, abs=0.01)


def test_the_binary_label_is_fog_and_nothing_else(scenes: list) -> None:
    for scene in scenes[:20]:
        np.testing.assert_array_equal(fog_only(scene) == 1, scene.label_HW == FOG)


def _differences(scenes: list, of_class: int, bands: tuple[int, int]) -> np.ndarray:
    """Per scene: mean over a class of a difference of bands."""
    values = []
    for scene in scenes:
        here = scene.label_HW == of_class
        if here.sum() > 60:
            pixels = scene.raster.pixels_CHW
            values.append((pixels[bands[0]] - pixels[bands[1]])[here].mean())
    return np.array(values)


def test_fog_lies_at_the_temperature_of_the_sea_and_low_cloud_above_it(scenes: list) -> None:
    gaps: dict[int, list[float]] = {FOG: [], LOW_CLOUD: []}
    for scene in scenes:
        window = scene.raster.pixels_CHW[B13]
        sea = scene.label_HW == SEA
        for k, found in gaps.items():
            here = scene.label_HW == k
            if here.sum() > 60 and sea.sum() > 200:
                found.append(float(np.median(window[sea]) - np.median(window[here])))
    assert abs(np.median(gaps[FOG])) < 2.5
    assert np.median(gaps[LOW_CLOUD]) > np.median(gaps[FOG]) + 4


def test_sunlight_at_3_9_um_tells_any_water_cloud_from_the_sea(scenes: list) -> None:
    fog, sea = (_differences(scenes, k, (B07, B13)) for k in (FOG, SEA))
    assert np.median(fog) > np.median(sea) + 3


def test_carbon_dioxide_above_the_top_tells_fog_from_low_cloud(scenes: list) -> None:
    fog, low = (_differences(scenes, k, (B13, B16)) for k in (FOG, LOW_CLOUD))
    assert np.median(fog) > np.median(low) + 2


def separation(values_P: np.ndarray, is_fog_P: np.ndarray) -> float:
    """How often a pixel of fog and one of low cloud are told apart by this number alone: 0.5 is chance."""
    fog, low = np.sort(values_P[is_fog_P]), np.sort(values_P[~is_fog_P])
    found = float(np.searchsorted(low, fog).mean() / len(low))
    return max(found, 1 - found)


def test_only_differences_in_the_infrared_tell_fog_from_low_cloud(scenes: list) -> None:
    chosen = [(scene, np.isin(scene.label_HW, (FOG, LOW_CLOUD))) for scene in scenes]
    is_fog_P = np.concatenate([scene.label_HW[here] == FOG for scene, here in chosen])
    values_CP = np.concatenate([scene.raster.pixels_CHW[:, here] for scene, here in chosen], axis=1)
    found = [separation(values_P, is_fog_P) for values_P in values_CP]
    assert max(found[:B07]) < 0.6  # in sunlight both are white
    assert max(found[B07:]) < 0.88  # nor is there a temperature
    assert separation(values_CP[B13] - values_CP[B16], is_fog_P) > 0.94


def test_no_temperature_is_the_temperature_of_fog(scenes: list) -> None:
    foggy = [
        scene.raster.pixels_CHW[B13][scene.label_HW == FOG].mean() for scene in scenes if (scene.label_HW == FOG).any()
    ]
    assert max(foggy) - min(foggy) > 20


def test_fog_is_smoother_than_low_cloud(scenes: list) -> None:
    rough: dict[int, list[float]] = {FOG: [], LOW_CLOUD: []}
    for scene in scenes:
        red = scene.raster.pixels_CHW[2]
        step = np.abs(red[1:, 1:] - red[:-1, :-1])
        same = scene.label_HW[1:, 1:] == scene.label_HW[:-1, :-1]
        for k, found in rough.items():
            here = same & (scene.label_HW[1:, 1:] == k)
            if here.sum() > 60:
                found.append(float(np.median(step[here]) / np.median(red[1:, 1:][here])))
    assert np.median(rough[FOG]) < 0.7 * np.median(rough[LOW_CLOUD])
