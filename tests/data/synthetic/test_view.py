"""All cameras in one street see the same street."""

import numpy as np
import pytest

from sensam.data.camera import Equirectangular, Fisheye, Pinhole, Placement
from sensam.data.synthetic.light import DAY, DUSK, NIGHT, draw_light, record
from sensam.data.synthetic.solids import (
    BOX,
    CYLINDER,
    ELLIPSOID,
    Collection,
    Solids,
    cast,
    local_points,
    normals,
    shaded,
)
from sensam.data.synthetic.street import ROAD, SKY, TILE, Street, build_street
from sensam.data.synthetic.view import look, paint

FRAY = np.zeros((8, 8), np.float32)


@pytest.fixture(scope="module")
def street() -> Street:
    return build_street(np.random.default_rng(4))


def eye(street: Street) -> tuple[float, float, float]:
    return 0.0, street.plan.lane_y, 1.6


def pixel_of(camera: Equirectangular, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = camera.size
    azimuth = np.arctan2(rays[1], rays[0])
    column = np.floor(np.mod(camera.yaw + np.pi - azimuth, 2 * np.pi) / (2 * np.pi) * columns).astype(int) % columns
    row = np.floor((0.5 - np.arcsin(np.clip(rays[2], -1, 1)) / camera.vertical_fov) * rows).astype(int)
    return np.clip(row, 0, rows - 1), column


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (2.1, 0.15), (-2.9, -0.2)])
@pytest.mark.parametrize(("kind", "fov_deg"), [(Pinhole, 70.0), (Fisheye, 200.0)])
def test_every_camera_and_the_panorama_agree_about_every_direction(
    street: Street, kind: type[Pinhole] | type[Fisheye], fov_deg: float, yaw: float, pitch: float
) -> None:
    around = Equirectangular((256, 512), eye(street))
    ahead = kind((48, 64), eye(street), fov_deg, yaw=yaw, pitch=pitch)
    whole, part = look(street, around), look(street, ahead)
    row, column = pixel_of(around, part.rays_3HW)
    neighbours = [
        whole.label_HW[np.clip(row + dr, 0, 255), (column + dc) % 512] for dr in (-1, 0, 1) for dc in (-1, 0, 1)
    ]
    plain = np.all([each == neighbours[4] for each in neighbours], axis=0)
    assert plain.mean() > 0.5
    assert (part.label_HW == neighbours[4])[plain].mean() > 0.995
    solid = plain & (part.label_HW != SKY) & (part.distance_HW < 60)
    ratio = whole.distance_HW[row, column][solid] / part.distance_HW[solid]
    assert np.median(np.abs(ratio - 1)) < 0.02


def test_turning_the_panorama_rolls_it(street: Street) -> None:
    """Exact continuity: what crosses the seam is what any column shows after a turn."""
    straight = look(street, Equirectangular((64, 128), eye(street)))
    turned = look(street, Equirectangular((64, 128), eye(street), yaw=50 * 2 * np.pi / 128))
    assert (np.roll(straight.label_HW, 50, axis=1) == turned.label_HW).mean() > 0.998
    seen = np.isfinite(turned.distance_HW) & np.isfinite(np.roll(straight.distance_HW, 50, axis=1))
    ratio = np.roll(straight.distance_HW, 50, axis=1)[seen] / turned.distance_HW[seen]
    assert np.mean(np.abs(ratio - 1) < 1e-3) > 0.995


def test_the_seam_of_the_panorama_looks_like_any_other_column(street: Street) -> None:
    rng = np.random.default_rng(0)
    camera = Equirectangular((64, 128), eye(street), yaw=0.7)
    light = draw_light(rng, DAY)
    picture = record(rng, paint(street, camera, look(street, camera), light)[0], light, wraps=True)
    steps = np.abs(np.roll(picture, -1, axis=2) - picture).mean(axis=(0, 1))
    assert steps[-1] < np.quantile(steps[:-1], 0.97)


def test_the_ground_lies_where_geometry_puts_it(street: Street) -> None:
    view = look(street, Pinhole((48, 64), eye(street), 80.0, pitch=-0.1))
    road = view.label_HW == ROAD
    np.testing.assert_allclose(view.distance_HW[road] * view.rays_3HW[2][road], -1.6, rtol=1e-5)
    assert np.isinf(view.distance_HW[view.label_HW == SKY]).all()
    assert (view.distance_HW[view.label_HW != SKY] > 0).all()


def test_windows_change_nothing_but_the_time(street: Street) -> None:
    class Patient(Equirectangular):
        def windows(self, placement: Placement) -> np.ndarray:
            return np.tile([0, self.size[0], 0, self.size[1]], (len(placement.yaw_N), 1))

    quick, patient = Equirectangular((48, 96), eye(street), yaw=1.0), Patient((48, 96), eye(street), yaw=1.0)
    hits, all_hits = (cast(street.solids, camera, quick.rays(), street.tile) for camera in (quick, patient))
    np.testing.assert_array_equal(hits.solid_HW, all_hits.solid_HW)
    np.testing.assert_array_equal(hits.distance_HW, all_hits.distance_HW)


def three_solids() -> Solids:
    things = Collection()
    things.add(BOX, 0, (8, 1, 1), (1, 2, 1), (0.5, 0.5, 0.5), yaw=0.4)
    things.add(ELLIPSOID, 3, (7, -4, 2), (1.5, 1, 2), (0.5, 0.5, 0.5), yaw=-0.7)
    things.add(CYLINDER, 4, (4, 3, 1.5), (0.5, 0.5, 1.5), (0.5, 0.5, 0.5))
    return things.solids()


def test_rays_end_on_surfaces_that_face_the_eye_and_pass_no_solid_before() -> None:
    solids = three_solids()
    camera = Pinhole((60, 90), (0, 0, 1.4), 90.0)
    rays = camera.rays()
    hits = cast(solids, camera, rays, FRAY)
    assert set(np.unique(hits.solid_HW)) == {-1, 0, 1, 2}
    seen = hits.solid_HW >= 0
    points = np.array(camera.position)[:, None] + hits.distance_HW[seen] * rays[:, seen]
    number = hits.solid_HW[seen].astype(np.int64)
    _, unit = local_points(solids, number, points.astype(np.float32))
    shell = np.select(
        [number == 0, number == 1], [np.abs(unit).max(axis=0), np.linalg.norm(unit, axis=0)], np.hypot(unit[0], unit[1])
    )
    np.testing.assert_allclose(shell, 1, atol=2e-4)
    facing = (normals(solids, number, unit) * rays[:, seen]).sum(axis=0)
    assert (facing < 0.02).all()
    for share in np.linspace(0.05, 0.97, 12):
        way = np.where(seen, hits.distance_HW, 15) * share
        along = (np.array(camera.position)[:, None, None] + way * rays).reshape(3, -1).astype(np.float32)
        for solid in range(3):
            _, place = local_points(solids, np.full(along.shape[1], solid), along)
            round_ = np.linalg.norm(place, axis=0) if solid == 1 else np.abs(place).max(axis=0)
            if solid == 2:
                round_ = np.maximum(np.hypot(place[0], place[1]), np.abs(place[2]))
            assert (round_ > 0.995).all()


def test_shadows_fall_away_from_the_sun() -> None:
    solids = three_solids()
    sun = np.array([1, 0, 1], np.float32) / np.float32(np.sqrt(2))
    x, y = np.meshgrid(np.linspace(0, 14, 40), np.linspace(-7, 3, 40))
    ground = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)]).astype(np.float32)
    dark = shaded(solids, np.array([0, 1]), ground, sun, FRAY)
    steps = np.linspace(0.1, 10, 200, dtype=np.float32)
    along = (ground[:, :, None] + steps * sun[:, None, None]).reshape(3, -1)
    _, box = local_points(solids, np.zeros(along.shape[1], np.int64), along)
    _, ball = local_points(solids, np.ones(along.shape[1], np.int64), along)
    inside = (np.abs(box).max(axis=0) < 1) | (np.linalg.norm(ball, axis=0) < 1)
    expected = inside.reshape(x.size, -1).any(axis=1)
    starts_inside = inside.reshape(x.size, -1)[:, 0]
    assert (dark == expected)[~starts_inside].mean() > 0.985, "rims differ by a step of the march"
    assert dark.sum() > 60


def test_night_is_dark_and_lamps_light_it(street: Street) -> None:
    camera = Pinhole((48, 64), eye(street), 80.0)
    view = look(street, camera)
    mean = {}
    for domain in (DAY, DUSK, NIGHT):
        radiance = [paint(street, camera, view, draw_light(np.random.default_rng(i), domain))[0] for i in range(4)]
        mean[domain] = float(np.mean([np.median(each) for each in radiance]))
    assert mean[NIGHT] < 0.1 * mean[DUSK]
    assert mean[DUSK] < mean[DAY]


def test_the_noise_tile_has_the_side_that_textures_expect(street: Street) -> None:
    assert street.tile.shape == (TILE, TILE)
