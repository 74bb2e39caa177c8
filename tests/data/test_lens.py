"""What pixels of an image are worth: nothing beyond a fisheye's circle, and the sphere's area within it."""

import numpy as np
import pytest
import torch

from sensam.data.lens import FisheyeLens, FlatLens, PanoramaLens, lens_of
from sensam.sensors import Sensor


@pytest.mark.parametrize("fov_deg", [90, 180, 220])
def test_the_pixels_of_a_fisheye_add_up_to_its_part_of_the_sphere(fov_deg: float) -> None:
    lens = FisheyeLens((200, 200), fov_deg)
    steradians = float(lens.area_HW.sum()) * lens.camera.pixel_angle**2
    assert steradians == pytest.approx(2 * np.pi * (1 - np.cos(np.radians(fov_deg / 2))), rel=5e-3)
    assert float(lens.area_HW.max()) == pytest.approx(1, abs=1e-3)
    assert (lens.area_HW[0, 0], lens.area_HW[-1, 0]) == (0, 0)
    assert (lens.area_HW[100, [0, -1]] > 0).all()


def test_a_fisheye_without_its_upper_and_lower_rim() -> None:
    whole, low = FisheyeLens((96, 96), 180), FisheyeLens((48, 96), 180)
    assert torch.equal(low.area_HW, whole.area_HW[24:72])
    assert low.reach == pytest.approx((np.pi / 2, np.pi))


def test_a_sensor_has_the_lens_of_its_geometry() -> None:
    def made(**geometry: object) -> Sensor:
        return Sensor.from_dict({"name": "made", "bands": ["a"], **geometry})

    assert lens_of(made(geometry="fisheye", fov_deg=190), (20, 30)) == FisheyeLens((20, 30), 190)
    assert lens_of(made(geometry="equirectangular"), (20, 40)) == PanoramaLens((20, 40))
    flat = lens_of(made(geometry="perspective"), (20, 40))
    assert flat == FlatLens((20, 40))
    assert (flat.area_HW == 1).all()
    assert torch.equal(PanoramaLens((20, 40)).area_HW[:, 0], PanoramaLens((20, 40)).area_HW[:, 39])
