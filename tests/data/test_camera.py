"""Rays of every camera, and windows that lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.camera import Equirectangular, Fisheye, Pinhole, Placement, distance_to_footprint

EYE = (1.0, -2.0, 1.5)


def test_pinhole_rays_span_the_field_of_view() -> None:
    camera = Pinhole((60, 80), EYE, 90.0)
    rays = camera.rays()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=0), 1, atol=1e-6)
    left, right = rays[:, 30, 0], rays[:, 30, -1]
    across = np.degrees(np.arctan2(left[1], left[0]) - np.arctan2(right[1], right[0]))
    assert across == pytest.approx(90 * 79 / 80, abs=1)
    assert left[1] > 0 > right[1], "the left of the image is the left of the world"
    assert rays[2, 0, 40] > 0 > rays[2, -1, 40]
    np.testing.assert_allclose(camera.forward(), [1, 0, 0], atol=1e-6)


def test_yaw_turns_left_and_pitch_lifts() -> None:
    forward = Pinhole((10, 10), EYE, 60, yaw=0.3, pitch=0.2).forward()
    assert np.arctan2(forward[1], forward[0]) == pytest.approx(0.3, abs=1e-5)
    assert np.arcsin(forward[2]) == pytest.approx(0.2, abs=1e-5)


def test_panorama_rays_go_once_around_and_from_pole_to_pole() -> None:
    rays = Equirectangular((32, 64), EYE).rays()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=0), 1, atol=1e-6)
    azimuth = np.unwrap(np.arctan2(rays[1, 16], rays[0, 16]))
    np.testing.assert_allclose(np.diff(azimuth), -2 * np.pi / 64, atol=1e-5)
    assert azimuth[0] - azimuth[-1] == pytest.approx(2 * np.pi * 63 / 64)
    elevation = np.degrees(np.arcsin(rays[2, :, 0]))
    np.testing.assert_allclose(elevation, 90 - (np.arange(32) + 0.5) * 180 / 32, atol=1e-3)


def test_a_flat_panorama_is_a_belt_with_square_pixels() -> None:
    camera = Equirectangular((100, 512), EYE)
    assert np.degrees(camera.vertical_fov) == pytest.approx(360 * 100 / 512)
    rays = camera.rays()
    down = np.arcsin(rays[2, 49, 0]) - np.arcsin(rays[2, 50, 0])
    assert down == pytest.approx(camera.pixel_angle, rel=1e-4)


def test_fisheye_pixels_are_angles_from_the_axis() -> None:
    camera = Fisheye((81, 80), EYE, 160)
    rays = camera.rays()
    np.testing.assert_allclose(np.linalg.norm(rays, axis=0), 1, atol=1e-6)
    away = np.degrees(np.arccos(rays[0]))
    np.testing.assert_allclose(away[40, 40:], (np.arange(40) + 0.5) * 2, atol=1e-3)
    assert rays[1, 40, 0] > 0 > rays[1, 40, -1], "the left of the image is the left of the world"
    assert rays[2, 0, 40] > 0 > rays[2, -1, 40]
    assert np.degrees(camera.pixel_angle) == pytest.approx(2)


@pytest.mark.parametrize("camera", [Fisheye((60, 80), EYE, 190, 2.0, -0.4), Pinhole((60, 80), EYE, 90, 2.0, -0.4)])
def test_where_a_ray_points_it_is_projected(camera: Fisheye | Pinhole) -> None:
    row, column = camera.project(camera.rays())
    truth_row, truth_column = np.mgrid[:60, :80]
    np.testing.assert_allclose(row, truth_row, atol=2e-3)
    np.testing.assert_allclose(column, truth_column, atol=2e-3)
    middle = camera.project(camera.forward()[:, None, None])
    assert (float(middle[0][0, 0]), float(middle[1][0, 0])) == pytest.approx((29.5, 39.5), abs=1e-3)


def test_a_fisheye_goes_on_behind_the_camera() -> None:
    rays = Fisheye((40, 40), EYE, 340).rays()
    assert np.isfinite(rays).all()
    assert rays[0, 20, 0] < -0.9
    np.testing.assert_allclose(rays[:, 0, 0], [-1, 0, 0], atol=1e-6)


@pytest.mark.slow
@given(
    x=st.floats(-20, 20), y=st.floats(-20, 20), z=st.floats(-3, 6),
    halves=st.tuples(st.floats(0.1, 4), st.floats(0.1, 4), st.floats(0.1, 4)),
    yaw=st.floats(-3, 3), kind=st.sampled_from([Equirectangular, Fisheye, Pinhole]), turn=st.floats(-3, 3),
)  # fmt: skip
@settings(max_examples=90, deadline=None)
def test_every_ray_into_a_box_lies_in_its_window(
    x: float, y: float, z: float, halves: tuple[float, float, float], yaw: float, kind: type, turn: float
) -> None:
    box = Placement(np.array([[x, y, z]], np.float32), np.array([halves], np.float32), np.array([yaw], np.float32))
    if distance_to_footprint(box, np.array(EYE, np.float32))[0] < 0.02:
        return
    size = (24, 48)
    turned = {Fisheye: (210.0, turn, 0.1), Pinhole: (80.0, turn, 0.1), Equirectangular: (turn,)}
    camera = kind(size, EYE, *turned[kind])
    top, bottom, left, right = camera.windows(box)[0]
    inside = np.zeros(size, bool)
    inside[top:bottom, np.arange(left, right) % size[1]] = True
    points = np.random.default_rng(0).uniform(-1, 1, (400, 3)) * halves
    cos, sin = np.cos(yaw), np.sin(yaw)
    world = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + [x, y, z] - EYE
    world /= np.linalg.norm(world, axis=1, keepdims=True)
    rays = camera.rays().reshape(3, -1)
    step = 1.5 * camera.pixel_angle
    for direction in world[:60]:
        towards = rays.T @ direction
        nearest = int(np.argmax(towards))
        if towards[nearest] > np.cos(step / 3):
            row, column = divmod(nearest, size[1])
            near = inside[max(row - 1, 0) : row + 2, np.arange(column - 1, column + 2) % size[1]]
            assert near.any()


def test_distance_to_a_turned_footprint() -> None:
    box = Placement(
        np.array([[0, 0, 0]], np.float32), np.array([[2, 1, 5]], np.float32), np.array([np.pi / 2], np.float32)
    )
    assert distance_to_footprint(box, np.array([3, 0, 9], np.float32))[0] == pytest.approx(2, abs=1e-5)
    assert distance_to_footprint(box, np.array([0.5, 1.5, 0], np.float32))[0] == 0
