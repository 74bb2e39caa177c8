"""A closer look is a prediction on what surrounds a box, put back where it was."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sensam.data.raster import Raster
from sensam.errors import InputError
from sensam.infer.closer import surroundings, within
from sensam.infer.promptable import Predictor
from sensam.sam.model import Sam
from sensam.sensors import Sensor

BOX = (20.0, 12.0, 32.0, 20.0)


@pytest.mark.parametrize("square", [True, False])
def test_a_closer_look_is_a_prediction_on_the_surroundings(sam: Sam, photo: NDArray[np.uint8], square: bool) -> None:
    predictor = Predictor(sam, square=square)
    predictor.set_image(photo)
    found = predictor.look_closer(BOX)

    x0, y0, x1, y1 = surroundings(torch.tensor(BOX), photo.shape[:2])
    assert (x1 - x0) < photo.shape[1], "the box is small enough for a part of the photograph"
    predictor.set_image(np.ascontiguousarray(photo[y0:y1, x0:x1]))
    alone = predictor.predict(boxes=np.array(BOX) - [x0, y0, x0, y0], multimask=False)
    allowed = within(torch.tensor(BOX), photo.shape[:2])[y0:y1, x0:x1]
    assert (alone.masks_NMHW[0, 0] & ~allowed).any(), "something is there to be cut away"
    assert torch.equal(found.masks_NHW[0, y0:y1, x0:x1], alone.masks_NMHW[0, 0] & allowed)
    torch.testing.assert_close(found.scores_N, alone.scores_NM[:, 0], rtol=0, atol=0)
    elsewhere = found.masks_NHW[0].clone()
    elsewhere[y0:y1, x0:x1] = False
    assert not elsewhere.any()


def test_a_box_is_given_a_little_slack() -> None:
    inside = within(torch.tensor((20.0, 10.0, 40.0, 20.0)), (30, 60))
    rows, columns = inside.nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 19, 41), "a twentieth of 10 and of 20"
    assert inside.sum() == 11 * 23


def test_every_box_is_looked_at_by_itself(sam: Sam, photo: NDArray[np.uint8]) -> None:
    predictor = Predictor(sam)
    predictor.set_image(photo)
    boxes = [BOX, (50.0, 30.0, 60.0, 44.0)]
    both, first = predictor.look_closer(boxes), predictor.look_closer(boxes[0])
    assert both.masks_NHW.shape == (2, *photo.shape[:2])
    assert torch.equal(both.masks_NHW[0], first.masks_NHW[0])


@pytest.mark.parametrize("box", [BOX, (0.0, 0.0, 4.0, 30.0), (70.5, 40.0, 90.0, 50.0), (0.0, 0.0, 90.0, 50.0)])
def test_surroundings_hold_the_box_and_stay_in_the_image(box: tuple[float, ...]) -> None:
    x0, y0, x1, y1 = surroundings(torch.tensor(box), (50, 90))
    assert 0 <= x0 <= box[0]
    assert box[2] <= x1 <= 90
    assert 0 <= y0 <= box[1]
    assert box[3] <= y1 <= 50
    if y1 - y0 < 50:
        assert x1 - x0 == y1 - y0, "a square, where the image has room for one"


def test_no_mask_where_there_is_no_data(sam: Sam) -> None:
    sensor = Sensor.from_dict(
        {"name": "three", "bands": [{"name": f"B{i}", "mean": 0.0, "std": 1.0} for i in range(3)]}
    )
    pixels = np.random.default_rng(0).normal(0, 1, (3, 40, 56)).astype(np.float32)
    valid = np.ones(pixels.shape, np.bool_)
    valid[:, :, 26:] = False
    predictor = Predictor(sam, sensor)
    predictor.set_image(Raster(pixels, valid, ("B0", "B1", "B2")))
    assert not predictor.look_closer(BOX).masks_NHW[..., 26:].any()


def test_a_box_outside_the_image_is_refused_in_the_images_own_pixels(sam: Sam, photo: NDArray[np.uint8]) -> None:
    predictor = Predictor(sam)
    predictor.set_image(photo)
    with pytest.raises(InputError, match=r"The box \(80, 10, 95, 20\) lies partly outside the image of 90 x 50 pixels"):
        predictor.look_closer((80, 10, 95, 20))
