"""Images in every form, and what is said about those that cannot be used."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sensam.data.raster import Raster
from sensam.errors import InputError
from sensam.infer.pixels import Picture, read_pixels
from sensam.sensors import Sensor

SENSOR = Sensor.from_dict({"name": "two", "bands": ["red", "nir"], "every_band": {"mean": 1.0, "std": 2.0}})


def scene(decoded: bool = True) -> Raster:
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return Raster(pixels, np.ones(pixels.shape, np.bool_), ("red", "nir"), is_decoded=decoded)


def test_photographs_stay_eight_bits(photo: NDArray[np.uint8]) -> None:
    array, valid = read_pixels(photo, 3, None)
    tensor, _ = read_pixels(torch.from_numpy(photo.transpose(2, 0, 1).copy()), 3, None)
    assert valid is None
    assert array.dtype == torch.uint8
    assert torch.equal(array, tensor)


def test_normalised_floats_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    found, _ = read_pixels(pixels, 1, None)
    assert np.array_equal(found.numpy()[0], pixels)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
def test_what_happens_to_the_picture_later_does_not_matter(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.float32)
    bands = shape[2] if len(shape) == 3 else 1
    locked = array.view()
    locked.flags.writeable = False  # as Pillow hands pictures out
    found, _ = read_pixels(locked, bands, None)
    array[:] = 5
    assert found.eq(1).all()
    again, _ = read_pixels(found, bands, None)
    found[:] = 7
    assert again.eq(1).all()


@pytest.mark.parametrize("decoded", [True, False])
def test_rasters_are_normalised_by_the_sensor(decoded: bool) -> None:
    found, valid = read_pixels(scene(decoded), 2, SENSOR)
    assert np.array_equal(found.numpy(), (scene().pixels_CHW - 1) / 2)
    assert valid is not None
    assert valid.all()


def test_arrays_with_a_sensor_are_stored_numbers() -> None:
    sensor = Sensor.from_dict(
        {"name": "dn", "bands": ["a", "b"], "every_band": {"scale": 0.1, "nodata": 7, "mean": 0.0, "std": 1.0}}
    )
    stored = np.array([[[7, 20], [30, 40]]], np.uint16)
    found, valid = read_pixels(stored, 2, sensor)
    assert np.allclose(found.numpy(), [[[0, 3]], [[2, 4]]])
    assert valid is not None
    assert valid.tolist() == [[False, True]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int16])
def test_tensors_of_any_type_are_stored_numbers(dtype: torch.dtype) -> None:
    stored = torch.arange(24).reshape(2, 3, 4)
    found, _ = read_pixels(stored.to(dtype), 2, SENSOR)
    assert torch.equal(found, (stored - 1) / 2)


@pytest.mark.parametrize("sensor", [SENSOR, None])
def test_tensors_that_learn_are_read_like_others(sensor: Sensor | None) -> None:
    stored = torch.randn(2, 3, 4)
    found, _ = read_pixels(stored.clone().requires_grad_(), 2, sensor)
    assert not found.requires_grad
    assert torch.equal(found, read_pixels(stored, 2, sensor)[0])


def broken() -> Raster:
    bad = scene()
    bad.pixels_CHW[1, 2, 3] = np.nan
    return bad


MISTAKES: list[tuple[Picture, int, Sensor | None, str]] = [
    (scene(), 2, None, "A Raster needs a sensor"),
    (broken(), 2, SENSOR, "Band nir is NaN or infinite at row 2, column 3"),
    (scene().renamed(("red", "swir")), 2, SENSOR, "red, swir.*needs red, nir"),
    (np.zeros((5, 6, 3), np.uint8), 2, SENSOR, "3 bands, sensor two takes 2"),
    (np.zeros((5, 6, 4), np.uint8), 3, None, "4 bands, the encoder takes 3. Leave alpha out"),
    (np.zeros((5, 6), np.uint8), 3, None, "1 bands, the encoder takes 3. Repeat a grey picture"),
    (np.zeros((3, 5, 6), np.float32), 3, None, "6 bands, the encoder takes 3.*arrays are rows x columns x bands"),
    (np.zeros((5, 6, 2), np.uint8), 2, None, "8-bit images without a sensor are RGB photographs, found 2 bands"),
    (np.zeros((5, 6, 3), np.uint16), 3, None, "more than 8 bits"),
    (np.full((5, 6, 3), 128.0), 3, None, "mean magnitude is 128"),
    (np.full((5, 6, 3), np.nan), 3, None, "NaN or infinite"),
    (np.zeros((5, 6, 3), np.complex64), 3, None, "must be numbers, found complex64"),
    (np.zeros((5, 6, 3, 1)), 3, None, r"found shape \(5, 6, 3, 1\)"),
    (torch.zeros(1, 3, 5, 6), 3, None, r"bands x rows x columns, found shape \(1, 3, 5, 6\)"),
    ([[1, 2]], 3, None, "found list"),  # type: ignore[list-item]  # what a caller without types may give
]


@pytest.mark.parametrize(("image", "bands", "sensor", "message"), MISTAKES, ids=[m[3] for m in MISTAKES])
def test_mistakes_are_explained_in_one_line(image: Picture, bands: int, sensor: Sensor | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_pixels(image, bands, sensor)
    assert "\n" not in str(caught.value)
