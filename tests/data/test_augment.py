"""Geometry moves every plane alike, to the pixel; light keeps to what is physical and to what is valid."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sensam.data.augment import Augment, Light, Pose
from sensam.data.feed import Portion
from sensam.data.resample import resample_linear, resample_nearest
from sensam.data.sample import Sample, assemble_sample, lit, posed, resized
from sensam.sensors import Sensor

EVERYTHING = Augment(flip_rows=True, flip_columns=True, turn=True, roll=True, scale=(0.5, 2.0))


def coordinates(rows: int, columns: int) -> NDArray[np.int32]:
    """A picture in which every pixel says where it comes from."""
    return np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)


def sample_of(bands: int, rows: int, columns: int, seed: int, dtype: Any = np.uint16) -> Sample:
    """Every band, the validity and the label all carry the same coordinates."""
    place_HW = coordinates(rows, columns)
    valid_HW = np.random.default_rng(seed).random((rows, columns)) < 0.8
    stored_CHW = np.stack([place_HW + 1000 * band for band in range(bands)]).astype(dtype)
    portion = Portion(stored_CHW, np.broadcast_to(valid_HW, stored_CHW.shape), np.ones(bands), np.zeros(bands))
    return assemble_sample("key", portion, place_HW.astype(np.uint16), ignore=65535)


@given(
    bands=st.integers(1, 13),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    seed=st.integers(0, 10**6),
)
def test_poses_move_pixels_validity_and_label_alike(bands: int, rows: int, columns: int, seed: int) -> None:
    before = sample_of(bands, rows, columns, seed)
    pose = EVERYTHING.draw_pose(np.random.default_rng(seed))
    after = posed(before, pose)
    assert after.valid_CHW is not None
    assert after.label_HW is not None
    # The label carries the coordinate where valid: all bands must show the same pixel there.
    valid_HW = after.valid_CHW[0]
    assert np.array_equal(after.label_HW != 65535, valid_HW)
    for band in range(bands):
        assert np.array_equal(after.stored_CHW[band][valid_HW], after.label_HW[valid_HW] + 1000 * band)
    # Nothing is lost, repeated or changed.
    assert sorted(after.stored_CHW[0].ravel()) == sorted(before.stored_CHW[0].ravel())
    assert after.stored_CHW.dtype == np.uint16


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), wide=st.integers(1, 24), high=st.integers(1, 24))
def test_other_sizes_agree_between_linear_and_nearest(rows: int, columns: int, wide: int, high: int) -> None:
    row_HW, column_HW = np.mgrid[:rows, :columns].astype(np.float32)
    nearest_row = resample_nearest(row_HW, high, wide)
    nearest_column = resample_nearest(column_HW, high, wide)
    linear = resample_linear(np.stack([row_HW, column_HW]), None, high, wide)
    # A label pixel is the one under the centre at which the image was interpolated.
    assert np.abs(linear[0] - nearest_row).max() <= 0.5 + 1e-5
    assert np.abs(linear[1] - nearest_column).max() <= 0.5 + 1e-5
    assert set(np.unique(nearest_row)) <= set(range(rows))


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 999))
def test_the_same_size_is_the_same_picture(rows: int, columns: int, seed: int) -> None:
    before = sample_of(2, rows, columns, seed)
    assert resized(before, rows, columns) is before
    assert np.array_equal(resample_linear(before.stored_CHW, None, rows, columns), before.stored_CHW)


def test_linear_interpolation_agrees_with_torch() -> None:
    from torch import from_numpy
    from torch.nn.functional import interpolate

    image_CHW = np.random.default_rng(0).random((3, 7, 10), np.float32)
    for rows, columns in ((14, 20), (3, 5), (11, 4)):
        theirs = interpolate(from_numpy(image_CHW[None]), (rows, columns), mode="bilinear", align_corners=False)
        assert np.allclose(resample_linear(image_CHW, None, rows, columns), theirs[0].numpy(), atol=1e-6)
    exact = interpolate(from_numpy(image_CHW[None]), (14, 20), mode="nearest-exact")
    assert np.array_equal(resample_nearest(image_CHW, 14, 20), exact[0].numpy())


def test_invalid_numbers_never_spread() -> None:
    image_CHW = np.full((1, 4, 4), 5.0, np.float32)
    valid_CHW = np.ones((1, 4, 4), bool)
    image_CHW[0, 1, 1], valid_CHW[0, 1, 1] = -9999, False
    for side in (3, 4, 7, 9):
        found = resample_linear(image_CHW, valid_CHW, side, side)
        valid = resample_nearest(valid_CHW, side, side)
        assert np.allclose(found[valid], 5.0)
    assert np.isfinite(resample_linear(np.where(valid_CHW, image_CHW, np.nan), valid_CHW, 7, 7)).all()


def test_each_kind_of_view_gets_what_leaves_it_plausible() -> None:
    nadir, road, round_ = (Augment.for_geometry(g) for g in ("nadir", "perspective", "equirectangular"))
    assert (nadir.flip_rows, nadir.flip_columns, nadir.turn, nadir.roll) == (True, True, True, False)
    assert (road.flip_rows, road.flip_columns, road.turn, road.roll) == (False, True, False, False)
    assert (round_.flip_rows, round_.flip_columns, round_.turn, round_.roll) == (False, True, False, True)
    poses = {nadir.draw_pose(np.random.default_rng(seed)) for seed in range(400)}
    assert len(poses) == 16
    assert all(road.draw_pose(np.random.default_rng(seed)) in {Pose(), Pose(flip_columns=True)} for seed in range(20))


@pytest.mark.parametrize("scale", [(2.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])
def test_a_scale_must_rise(scale: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="smallest and the largest magnification"):
        Augment(scale=scale)


def test_one_setting_leaves_the_luck_of_the_others_alone() -> None:
    flipping, all_of_it = Augment(flip_columns=True), EVERYTHING
    for seed in range(20):
        one, other = (each.draw_pose(np.random.default_rng(seed)) for each in (flipping, all_of_it))
        assert one.flip_columns == other.flip_columns
    magnifications = [EVERYTHING.draw_pose(np.random.default_rng(seed)).magnification for seed in range(400)]
    assert min(magnifications) >= 0.5
    assert max(magnifications) <= 2
    assert 0.4 < np.mean(np.array(magnifications) < 1) < 0.6  # as often smaller as larger


SENSOR = Sensor.from_dict(
    {
        "name": "two",
        "bands": [
            {"name": "a", "scale": 0.01, "mean": 0.3, "std": 0.1, "valid_range": [0, 1]},
            {"name": "b", "mean": 10, "std": 4},
        ],
    }
)


def prepared() -> Sample:
    random = np.random.default_rng(3)
    stored_CHW = random.integers(0, 101, (2, 8, 8)).astype(np.uint16)
    gain_C = np.array([0.01 / 0.1, 1 / 4])
    bias_C = np.array([-0.3 / 0.1, -10 / 4])
    valid_CHW = random.random((2, 8, 8)) < 0.9
    return assemble_sample("key", Portion(stored_CHW, valid_CHW, gain_C, bias_C), None, 255)


def normalised(sample: Sample) -> NDArray[np.float64]:
    line = sample.stored_CHW * sample.gain_C[:, None, None] + sample.bias_C[:, None, None]
    return np.clip(line, sample.low_C[:, None, None], sample.high_C[:, None, None])


def test_gain_and_offset_act_on_normalised_values_and_leave_integers_alone() -> None:
    before = prepared()
    light = Light(1.2, np.array([0.5, -0.25]), 0.0)
    after = lit(before, light, SENSOR, np.random.default_rng(0))
    assert after.stored_CHW is before.stored_CHW
    expected = normalised(before) * 1.2 + np.array([0.5, -0.25])[:, None, None]
    expected[0] = expected[0].clip(-3, 7)  # reflectance 0 and 1, normalised
    assert np.allclose(normalised(after), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_light_stays_inside_the_valid_range(seed: int) -> None:
    random = np.random.default_rng(seed)
    light = Augment(gain=0.9, offset=3, noise=2).draw_light(random, 2)
    values = normalised(lit(prepared(), light, SENSOR, random))
    physical = values[0] * 0.1 + 0.3
    assert physical.min() >= -1e-6
    assert physical.max() <= 1 + 1e-6


def test_a_band_without_a_valid_range_is_not_cut() -> None:
    after = lit(prepared(), Light(2.0, np.array([9.0, 90.0]), 0.0), SENSOR, np.random.default_rng(0))
    assert np.isclose(normalised(after)[1].max(), normalised(prepared())[1].max() * 2 + 90)


def test_noise_has_the_asked_strength_and_is_repeatable() -> None:
    even_CHW = np.full((2, 200, 200), 40, np.uint8)
    sample = assemble_sample("key", Portion(even_CHW, None, np.array([0.1, 0.25]), np.array([-3, -2.5])), None, 255)
    light = Light(1.5, np.zeros(2), 0.1)
    first, second = (lit(sample, light, SENSOR, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.stored_CHW, second.stored_CHW)
    spread_C = (normalised(first) - normalised(lit(sample, Light(1.5, np.zeros(2), 0), SENSOR, None))).std((1, 2))  # type: ignore[arg-type]
    assert np.allclose(spread_C, 0.1, rtol=0.02)


def test_no_light_changes_nothing() -> None:
    sample = prepared()
    assert lit(sample, Augment().draw_light(np.random.default_rng(0), 2), SENSOR, np.random.default_rng(0)) is sample
