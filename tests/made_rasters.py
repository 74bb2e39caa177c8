"""Rasters of given numbers, in the bands of a sensor."""

import numpy as np

from sensam.data.raster import Raster


def raster_of(sensor, pixels_CHW, valid_CHW=None, **fields):
    pixels = np.asarray(pixels_CHW, np.float32)
    valid = np.ones(pixels.shape, bool) if valid_CHW is None else np.asarray(valid_CHW)
    return Raster(pixels, valid, sensor.band_names, **({"is_decoded": False} | fields))
