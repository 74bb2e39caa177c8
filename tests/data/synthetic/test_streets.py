"""The two families of street scenes: domains that differ as they should, depth that stays good."""

import numpy as np
import pytest

from sensam.data.synthetic import family
from sensam.data.synthetic import panorama as panoramas
from sensam.data.synthetic.drive import LONGEST_M, measured
from sensam.data.synthetic.street import ROAD, SKY, build_street

SIZE = (48, 80)


@pytest.mark.slow
def test_nights_are_dark_and_noisy_while_depth_stays_good() -> None:
    brightness, noise, far = {}, {}, {}
    for domain in ("daytime", "night"):
        made = [family("drive").make(0, index, SIZE, domain=domain) for index in range(10)]
        green = [scene.raster.pixels_CHW[1] for scene in made]
        brightness[domain] = np.mean(green)
        noise[domain] = np.mean([np.abs(np.diff(g, axis=1)).mean() / max(g.mean(), 1) for g in green])
        far[domain] = np.mean([_ground_error(scene) for scene in made])
    assert brightness["night"] < 0.6 * brightness["daytime"]
    assert noise["night"] > noise["daytime"]
    assert far["night"] == pytest.approx(far["daytime"], rel=0.5)


def _ground_error(scene) -> float:  # type: ignore[no-untyped-def]
    """Relative roughness of depth between neighbours on the road, where it should change smoothly."""
    depth, road = scene.raster.pixels_CHW[3], scene.label_HW == ROAD
    both = road[:, 1:] & road[:, :-1] & (depth[:, 1:] < 20)
    return float(np.median(np.abs(np.diff(depth, axis=1))[both] / depth[:, 1:][both]))


@pytest.mark.slow
def test_domains_come_in_their_shares() -> None:
    drawn = [family("drive").make(0, index, (16, 16)).domain for index in range(36)]
    assert 0.3 < drawn.count("daytime") / 36 < 0.7
    assert {*drawn} == {"daytime", "dawn/dusk", "night"}
    assert {family("panorama").make(0, index, (16, 32)).domain for index in range(3)} == {"panorama"}


def test_depth_is_unbiased_and_ends_at_its_longest_range() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.array([[3.0, 10.0, 30.0, 200.0, np.inf]], np.float32), 4000, axis=0)
    depth, returned = measured(rng, truth, np.zeros(truth.shape, bool))
    assert returned.all()
    np.testing.assert_allclose(depth[:, :3].mean(axis=0), truth[0, :3], rtol=0.003)
    assert (np.diff(depth[:, :3].std(axis=0)) > 0).all()
    assert (depth[:, :3].std(axis=0) < 0.01 * truth[0, :3]).all()
    assert (depth[:, 3:] == LONGEST_M).all()


def test_only_glass_loses_its_depth() -> None:
    rng = np.random.default_rng(0)
    glass = rng.random((60, 60)) < 0.5
    depth, returned = measured(rng, np.full((60, 60), 5, np.float32), glass)
    assert returned[~glass].all()
    assert 0.1 < (~returned[glass]).mean() < 0.3
    assert (depth[~returned] == 0).all()


def test_the_sky_reads_the_longest_range_and_the_rest_less() -> None:
    scene = family("panorama").make(0, 0, (48, 96))
    depth = scene.raster.pixels_CHW[3]
    assert (depth[scene.label_HW == SKY] == LONGEST_M).all()
    near = depth[36:][scene.raster.valid_CHW[3, 36:]]
    assert near.max() < 20, "the lower quarter of a panorama is the ground nearby"


def test_panoramas_show_sky_above_ground_below_and_wrap() -> None:
    for index in range(4):
        scene = family("panorama").make(1, index, (48, 96))
        assert set(np.unique(scene.label_HW[-6:])) <= {ROAD, 1, 5, 7}
        changes = (scene.label_HW != np.roll(scene.label_HW, -1, axis=1)).mean(axis=0)
        assert changes[-1] <= np.quantile(changes, 0.99)


def test_a_fisheye_sees_within_its_circle() -> None:
    scene = family("panorama").make(2, 0, (64, 64), domain="fisheye")
    down, right = np.mgrid[:64, :64] - 31.5
    seen = np.hypot(down, right) <= 32
    assert (scene.label_HW[~seen] == 255).all()
    assert (scene.label_HW[seen] < 9).all()
    assert not scene.raster.valid_CHW[:, ~seen].any()
    assert scene.raster.valid_CHW[:3, seen].all()
    assert scene.meta["geometry"] == "fisheye"
    assert scene.label_HW[1, 32] == SKY
    assert scene.label_HW[62, 32] != SKY


@pytest.mark.slow
def test_the_field_of_view_can_be_given() -> None:
    for fov in (50.0, 110.0):
        scene = panoramas.draw(np.random.default_rng(0), SIZE, "perspective", fov_deg=fov)
        assert scene.meta["fov_deg"] == fov
    drawn = {family("panorama").make(0, i, (16, 16), domain="perspective").meta["fov_deg"] for i in range(12)}
    assert all(60 <= float(fov) <= 100 for fov in drawn)
    assert len(drawn) > 6


def test_a_wider_lens_shows_the_middle_smaller() -> None:
    narrow, wide = (
        panoramas.draw(np.random.default_rng(3), (60, 60), "perspective", fov_deg=fov).label_HW for fov in (40.0, 80.0)
    )
    scale = np.tan(np.radians(20)) / np.tan(np.radians(40))
    place = np.floor((np.arange(60) + 0.5 - 30) * scale + 30).astype(int)
    assert (wide[np.ix_(place, place)] == narrow).mean() > 0.85


@pytest.mark.parametrize("seed", range(6))
def test_cameras_stand_clear_of_everything(seed: int) -> None:
    from sensam.data.camera import distance_to_footprint

    rng = np.random.default_rng(seed)
    street = build_street(rng)
    x, y = street.free_place(rng, on_road=bool(seed % 2))
    nearest = distance_to_footprint(street.solids.placement, np.array([x, y, 1.6], np.float32)).min()
    assert nearest > 0.9
    assert street.plan.ground_class(np.array([x]), np.array([y]))[0] in (ROAD, 1)
