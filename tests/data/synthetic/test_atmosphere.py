"""Radiation in limits that can be worked out by hand."""

import numpy as np
import pytest

from sensam.data.synthetic.atmosphere import (
    WAVELENGTHS_UM,
    Air,
    Layer,
    brightness_temperature,
    cloud_optics,
    planck,
    seen_from_space,
)

SIZE = (2, 3)


def layer(depth: float, kelvin: float = 270.0, km: float = 1.0, *, radius: float = 10.0, ice: bool = False) -> Layer:
    fields = (np.full(SIZE, value, np.float32) for value in (depth, kelvin, km))
    depth_HW, kelvin_HW, km_HW = fields
    return Layer(depth_HW, radius, kelvin_HW, km_HW, ice=ice)


def air(vapour: float = 1.0) -> Air:
    return Air(0.8, 0.75, 0.0, np.full(SIZE, vapour, np.float32), 288.0)


def seen(low: Layer, high: Layer, *, vapour: float = 1.0, surface_k: float = 288.0, albedo: float = 0.0) -> np.ndarray:
    surface = np.full((7, *SIZE), albedo, np.float32)
    return seen_from_space(surface, np.full(SIZE, surface_k, np.float32), low, high, air(vapour))[:, 0, 0]


def test_planck_matches_a_published_value_and_its_inverse() -> None:
    # 300 K at 10 um: 9.924 W m-2 sr-1 um-1 (any table of black-body radiation)
    assert float(planck(np.float32(300), 10.0)) == pytest.approx(9.924, rel=1e-3)
    kelvin = np.linspace(200, 320, 50, dtype=np.float32)
    for wavelength in WAVELENGTHS_UM[6:]:
        np.testing.assert_allclose(brightness_temperature(planck(kelvin, wavelength), wavelength), kelvin, rtol=2e-5)


def test_an_opaque_high_cloud_hides_everything_below() -> None:
    anvil = layer(200, kelvin=220, km=11, ice=True)
    one = seen(layer(0), anvil, surface_k=300, albedo=0.0)
    other = seen(layer(30, 280), anvil, surface_k=270, albedo=0.4)
    np.testing.assert_allclose(one[6:], other[6:], atol=0.3)
    assert one[12] == pytest.approx(220, abs=1)


def test_without_clouds_and_vapour_the_window_shows_the_surface() -> None:
    bands = seen(layer(0), layer(0), vapour=0.0, surface_k=290)
    np.testing.assert_allclose(bands[[12, 13, 14]], 290, atol=0.05)
    moist = seen(layer(0), layer(0), vapour=2.0, surface_k=290)
    assert moist[14] < moist[13] < moist[12] < 290, "the dirty window loses most, the clean window least"


def test_vapour_bands_look_at_heights_in_their_known_order() -> None:
    upper, middle, lower = seen(layer(0), layer(0))[7:10]
    assert upper < middle < lower
    assert 225 < upper < 245


def test_small_droplets_reflect_more_and_emit_less_at_3_9_um() -> None:
    small, large = (cloud_optics(layer(20, radius=radius), 0.8)[0][:, 0, 0] for radius in (5.0, 14.0))
    assert small[6] > 1.3 * large[6]
    assert small[0] == pytest.approx(large[0], rel=0.02), "visible light does not depend on droplet size"


def test_ice_is_dark_at_1_6_um_and_white_in_the_visible() -> None:
    water, ice = (
        cloud_optics(layer(20), 0.8)[0][:, 0, 0],
        cloud_optics(layer(20, radius=30, ice=True), 0.8)[0][:, 0, 0],
    )
    assert ice[4] < 0.75 * water[4]
    assert ice[2] > 0.8 * water[2]


def test_a_cloud_brightens_monotonically_with_depth() -> None:
    bright = [cloud_optics(layer(depth), 0.6)[0][2, 0, 0] for depth in (0, 1, 4, 16, 64)]
    assert bright[0] == 0
    assert all(np.diff(bright) > 0)
    assert bright[-1] < 1


def test_reflected_and_passed_light_never_exceed_the_sun() -> None:
    for depth in (0, 0.5, 5, 50):
        for cloud in (layer(depth), layer(depth, radius=30, ice=True)):
            reflected, passed = (part[:, 0, 0] for part in cloud_optics(cloud, 0.7))
            assert (reflected + passed <= 1 + 1e-6).all()
            np.testing.assert_allclose((reflected + passed)[:3], 1, atol=1e-5)  # nothing absorbs visible light
