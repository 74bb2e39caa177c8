"""An image in any of its forms, as the pixels an encoder can be given and which of them are real."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sensam.data.raster import Raster
from sensam.errors import InputError
from sensam.sensors import Sensor

Picture = Raster | NDArray[np.generic] | Tensor
NORMALISED_REACH = 10.0  # normalised numbers are around 1; a mean magnitude above this was never normalised


def read_pixels(image: Picture, bands: int, sensor: Sensor | None) -> tuple[Tensor, Tensor | None]:
    """Pixels C x H x W and where they are valid (H x W; None: everywhere) for an encoder of so many bands.

    A Raster is normalised by its sensor. An array (rows x columns x bands, or rows x columns) or a tensor
    (bands x rows x columns) holds stored numbers when there is a sensor; without one it is an 8-bit RGB photograph,
    which stays uint8, or floating-point numbers that are normalised already.
    """
    if not isinstance(image, Raster):
        planes_CHW = _planes(image)
        if sensor is None:
            return _check_planes(planes_CHW, bands), None
        stored = planes_CHW.float().cpu().numpy()
        _check_bands(len(stored), len(sensor.bands), f"sensor {sensor.name}")
        image = Raster(stored, np.ones(stored.shape, np.bool_), sensor.band_names, is_decoded=False)
    elif sensor is None:
        raise InputError(
            "A Raster needs a sensor that says how to normalise it. "
            "Give one, as in Predictor(sam, load_sensor('sentinel2'))."
        )
    return _normalise(image, sensor)


def check_sensor(sensor: Sensor, bands: int) -> None:
    """A sensor's bands must be the encoder's."""
    if len(sensor.bands) != bands:
        raise InputError(
            f"Sensor {sensor.name} has {len(sensor.bands)} bands, the encoder takes {bands}. "
            f"Choose {bands} with sensor.select([...]), or build the encoder for {len(sensor.bands)}."
        )


def _planes(image: NDArray[np.generic] | Tensor) -> Tensor:
    if isinstance(image, Tensor):
        if image.ndim != 3:
            raise InputError(f"A tensor must be bands x rows x columns, found shape {tuple(image.shape)}.")
        return image.detach().clone()  # what the caller does to it later must not reach a later everything()
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"An image is a Raster, a NumPy array or a torch tensor, found {type(image).__name__}. "
            "Convert pictures with np.asarray(picture)."
        )
    if image.ndim not in (2, 3):
        raise InputError(f"An array must be rows x columns x bands or rows x columns, found shape {image.shape}.")
    if image.dtype.kind not in "uif":
        raise InputError(f"Pixels must be numbers, found {image.dtype}.")
    if image.dtype not in (np.uint8, np.float16, np.float32):
        image = image.astype(np.float64 if image.dtype.kind == "f" else np.int64)
    rows_first = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(rows_first.transpose(2, 0, 1).copy())


def _check_planes(planes_CHW: Tensor, bands: int) -> Tensor:
    """An image without a sensor: a photograph of 8 bits, or normalised numbers."""
    _check_bands(len(planes_CHW), bands, "the encoder")
    if planes_CHW.dtype == torch.uint8:
        if bands != 3:
            raise InputError(
                f"8-bit images without a sensor are RGB photographs, found {bands} bands. "
                "Give Predictor a sensor with the statistics of these bands."
            )
        return planes_CHW
    if not planes_CHW.is_floating_point():
        raise InputError("Whole numbers of more than 8 bits mean nothing without a sensor. Give Predictor a sensor.")
    planes_CHW = planes_CHW.float()
    magnitude = planes_CHW.abs().mean().item() if planes_CHW.numel() else 0.0
    if not np.isfinite(magnitude):
        raise InputError(
            "The image has NaN or infinite pixels. Give a Raster whose valid mask leaves them out, and its sensor."
        )
    if magnitude > NORMALISED_REACH:
        raise InputError(
            f"Floating-point pixels without a sensor must be normalised, but their mean magnitude is {magnitude:.0f}. "
            "Give photographs as uint8, anything else with a sensor."
        )
    return planes_CHW


def _check_bands(found: int, needed: int, needed_by: str) -> None:
    if found == needed:
        return
    remedy = "Choose bands, or build the encoder for as many"
    if found == 1 and needed == 3:
        remedy = "Repeat a grey picture with np.repeat(image[..., None], 3, -1)"
    elif found == 4 and needed == 3:
        remedy = "Leave alpha out with image[..., :3]"
    raise InputError(
        f"The image has {found} bands, {needed_by} takes {needed}. {remedy} "
        "(arrays are rows x columns x bands, tensors bands x rows x columns)."
    )


def _normalise(raster: Raster, sensor: Sensor) -> tuple[Tensor, Tensor]:
    if not raster.is_decoded:
        raster = sensor.decode(raster)
    broken = raster.valid_CHW & ~np.isfinite(raster.pixels_CHW)
    if broken.any():
        band, row, column = (int(v) for v in np.argwhere(broken)[0])
        raise InputError(
            f"Band {raster.bands[band]} is NaN or infinite at row {row}, column {column}, where the image says it is "
            "valid. Mark such pixels as not valid."
        )
    pixels_CHW = torch.from_numpy(np.ascontiguousarray(sensor.normalise(raster), np.float32))
    return pixels_CHW, torch.from_numpy(raster.valid_HW)
