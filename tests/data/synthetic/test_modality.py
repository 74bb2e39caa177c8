"""Objects that RGB does not show and the other instrument does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.synthetic import Scene, family
from sensam.data.synthetic.modality import polarization, stokes
from sensam.data.synthetic.shapes import Outline, count_for, draw_outlines, place

VARIANTS = ("thermal", "polarization", "depth")


def made(variant: str, count: int = 12, size: tuple[int, int] = (64, 80)) -> list[Scene]:
    return [family(f"modality:{variant}").make(0, index, size) for index in range(count)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_instances_and_classes_agree(variant: str) -> None:
    for scene in made(variant, 6):
        instances = scene.instances_HW
        assert instances is not None
        np.testing.assert_array_equal(instances > 0, scene.label_HW > 0)
        assert set(np.unique(instances[instances > 0])) == set(range(1, int(scene.meta["objects"]) + 1))
        for number in range(1, instances.max() + 1):
            assert len(np.unique(scene.label_HW[instances == number])) == 1
            assert (instances == number).sum() >= 12


@pytest.mark.parametrize("variant", VARIANTS)
def test_rgb_knows_nothing_of_the_objects(variant: str) -> None:
    inside, colours = [], []
    for scene in made(variant, 24):
        rgb = scene.raster.pixels_CHW[:3].reshape(3, -1)
        colours.append((rgb - rgb.mean(axis=1, keepdims=True)) / rgb.std(axis=1, keepdims=True))
        inside.append(scene.label_HW.ravel() > 0)
    colour, hidden = np.concatenate(colours, axis=1), np.concatenate(inside)
    for band in colour:
        assert np.corrcoef(band, hidden)[0, 1] == pytest.approx(0, abs=0.08)


def test_warm_is_warmer_and_cool_is_cooler_than_its_own_background() -> None:
    for scene in made("thermal"):
        heat = scene.raster.pixels_CHW[3]
        ambient = np.median(heat[scene.label_HW == 0])
        for kind, sign in ((1, 1), (2, -1)):
            if (scene.label_HW == kind).sum() > 40:
                assert sign * (np.median(heat[scene.label_HW == kind]) - ambient) > 0.7


def test_ambient_temperatures_overlap_the_objects_of_other_scenes() -> None:
    ambient = [float(scene.meta["ambient_k"]) for scene in made("thermal", 30, (16, 16))]
    assert max(ambient) - min(ambient) > 30


def test_opposite_polarizers_share_the_light() -> None:
    for scene in made("polarization"):
        i0, i45, i90, i135 = scene.raster.pixels_CHW[3:].astype(np.float64)
        total, other = i0 + i90, i45 + i135
        # Photons come in pairs of half a digital number: the variance of each sum is half its value, plus reading out.
        expected = np.sqrt((total + other) * 0.5 + 4 * 9 + 4 / 12)
        deviation = (total - other) / expected
        unsaturated = scene.raster.pixels_CHW[3:].max(axis=0) < 4000
        assert deviation[unsaturated].mean() == pytest.approx(0, abs=0.05)
        assert deviation[unsaturated].std() == pytest.approx(1, abs=0.06)


def test_panes_polarize_across_or_along_and_leave_brightness_alone() -> None:
    for scene in made("polarization"):
        degree, angle = polarization(stokes(scene.raster.pixels_CHW[3:]))
        roll = float(scene.meta["roll_deg"])
        for kind, towards in ((1, 0.0), (2, 90.0)):
            here = scene.label_HW == kind
            if here.sum() > 40:
                assert np.median(degree[here]) > 0.12
                away = np.mod(angle[here] - towards - roll + 90, 180) - 90
                assert abs(np.median(away)) < 12
        assert np.median(degree[scene.label_HW == 0]) < 0.1


@given(intensity=st.floats(10, 1000), degree=st.floats(0.05, 1), angle=st.floats(0, 179.9))
@settings(max_examples=40)
def test_stokes_give_back_what_malus_law_put_in(intensity: float, degree: float, angle: float) -> None:
    polarizers = np.radians([0, 45, 90, 135])
    behind = 0.5 * intensity * (1 + degree * np.cos(2 * (np.radians(angle) - polarizers)))
    planes = stokes(behind[:, None, None].astype(np.float32))
    found_degree, found_angle = polarization(planes)
    assert planes[0, 0, 0] == pytest.approx(intensity, rel=1e-5)
    assert found_degree[0, 0] == pytest.approx(degree, rel=1e-3)
    assert np.mod(found_angle[0, 0] - angle + 90, 180) - 90 == pytest.approx(0, abs=0.1)


def test_reliefs_stand_out_and_their_shadows_have_no_depth() -> None:
    lost = []
    for scene in made("depth"):
        depth, valid = scene.raster.pixels_CHW[3], scene.raster.valid_CHW[3]
        lost.append(1 - valid.mean())
        assert scene.raster.valid_CHW[:3].all(), "only the depth is missing"
        assert (depth[valid] > 0.3).all()
        for kind, sign in ((1, -1), (2, 1)):
            here = scene.label_HW == kind
            steps = _steps_across_rim(depth, valid, here)
            if len(steps) > 20:
                assert sign * np.median(steps) > 0.015 * float(scene.meta["distance_m"])
    assert 0.003 < np.mean(lost) < 0.08


def _steps_across_rim(depth: np.ndarray, valid: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Depth inside minus depth of the background three columns further out."""
    inside, outside = here[:, 3:] & valid[:, 3:], ~here[:, :-3] & valid[:, :-3]
    return (depth[:, 3:] - depth[:, :-3])[inside & outside]


def test_later_outlines_cover_earlier_ones_and_slivers_vanish() -> None:
    square = {"corners": 4, "turn": 0.0, "wobble": (0.0, 0.0, 0.0), "flatness": 1.0}
    behind = Outline(row=20, column=20, radius=9, **square)
    before = Outline(row=20, column=20, radius=12, **square)
    aside = Outline(row=40, column=45, radius=6.5, **square)  # whose edges meet no pixel's middle
    objects = place((60, 60), [behind, before, aside])
    assert objects.count == 2, "what is fully covered is no object"
    assert objects.instances_HW[20, 20] == 1
    assert objects.instances_HW[40, 45] == 2
    area = (objects.instances_HW == 2).sum()
    assert area == pytest.approx(2 * 6.5**2, rel=0.05), "a square with half diagonal 6.5"
    assert objects.depth_HW[40, 45] > 0.8
    assert (objects.depth_HW[objects.instances_HW == 0] == 0).all()


def test_long_images_hold_more_objects_of_the_same_size() -> None:
    rng = np.random.default_rng(0)
    counts = [np.mean([count_for(rng, size, 4, 8) for _ in range(60)]) for size in ((50, 50), (50, 200))]
    assert counts[1] / counts[0] == pytest.approx(4, rel=0.15)
    outlines = draw_outlines(rng, (50, 200), 40)
    assert max(outline.radius for outline in outlines) <= 0.17 * 50
