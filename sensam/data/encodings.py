"""Measurements that are not yet pictures: complex radar to amplitude or decibel, polarizers to Stokes and angles."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensam.data.raster import Raster
from sensam.errors import InputError, SettingsError

Measured = Literal["complex", "amplitude", "intensity"]
Shown = Literal["amplitude", "intensity", "db"]
Angle = Literal["double", "weighted", "radians", "folded"]

REAL, IMAG = ".real", ".imag"
POLARIZERS = ("0", "45", "90", "135")  # degrees; the names of bands, or what stands before the dot in "45.red"
LEGACY_EPSILON = 1e-4  # added to the intensity, and put where S1 is 0, by the authors of zju-rgbp's loader


def stretch(raster: Raster, measured: Measured, shown: Shown, limits: tuple[float, float] | None = None) -> Raster:
    """Radar measurements as amplitude, intensity or decibel; with `limits`, clipped to them and scaled to 0..1.

    The limits are given, never taken from the image, so that every tile of every scene is stretched alike. Complex
    bands are the pairs `VV.real`, `VV.imag` that `open_raster` returns. Nothing has no logarithm: 0 is not valid in dB.
    """
    if any(raster.scaling):
        raise InputError("The file states a scaling of its own. Decode the image before stretching it.")
    bands, values, valid = _measured(raster, measured)
    if shown == "amplitude" and measured == "intensity":
        valid = valid & (values >= 0)
        values = np.sqrt(np.where(valid, values, 0))
    elif shown != "amplitude" and measured != "intensity":
        values = values * values
    if shown == "db":
        valid = valid & (values > 0)
        values = 10 * np.log10(np.where(valid, values, 1))
    if limits is not None:
        low, high = _checked(limits)
        values = np.clip((values - low) / (high - low), 0, 1)
    pixels = np.where(valid, values, 0).astype(np.float32)
    return replace(raster, pixels_CHW=pixels, valid_CHW=valid, bands=bands, scaling=())


def _checked(limits: tuple[float, float]) -> tuple[float, float]:
    if not limits[0] < limits[1]:
        raise SettingsError(f"The limits of a stretch must rise, found {limits[0]:g} and {limits[1]:g}.")
    return limits


def _measured(raster: Raster, measured: Measured) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_]]:
    """Band names, numbers and validity; complex pairs become their amplitude."""
    pixels = raster.pixels_CHW.astype(np.float64)
    if measured != "complex":
        return raster.bands, pixels, raster.valid_CHW
    names = [band.removesuffix(REAL) for band in raster.bands if band.endswith(REAL)]
    missing = sorted({band.rpartition(".")[0] or band for band in raster.bands} - set(names))
    pairs = [(name + REAL, name + IMAG) for name in names]
    if missing or not names or any(imag not in raster.bands for _, imag in pairs):
        raise InputError(f"Complex bands come as NAME{REAL} and NAME{IMAG}; found {', '.join(raster.bands)}.")
    rows = [(raster.bands.index(real), raster.bands.index(imag)) for real, imag in pairs]
    amplitude = np.stack([np.hypot(pixels[real], pixels[imag]) for real, imag in rows])
    valid = np.stack([raster.valid_CHW[real] & raster.valid_CHW[imag] for real, imag in rows])
    return tuple(names), amplitude, valid


def stokes(raster: Raster) -> Raster:
    """Linear Stokes parameters s0, s1, s2 from images behind polarizers at 0, 45, 90 and 135 degrees.

    Bands are called by the angle, or `0.red`, `45.red`, ... in colour. Stokes parameters are sums of intensities:
    they may be averaged, resized and interpolated, which angles may not.
    """
    colours = _colours(raster.bands, POLARIZERS)
    i0, i45, i90, i135 = (_planes(raster, angle, colours) for angle in POLARIZERS)
    pixels = np.concatenate([(i0 + i45 + i90 + i135) / 2, i0 - i90, i45 - i135])
    valid = np.logical_and.reduce([_valid(raster, angle, colours) for angle in POLARIZERS])
    return _encoded(raster, ("s0", "s1", "s2"), colours, pixels, np.concatenate([valid] * 3))


def encode_polarization(raster: Raster, angle: Angle = "double") -> Raster:
    """Intensity, degree and angle of linear polarization from Stokes parameters.

    `double` gives s0, dolp, sin2aolp, cos2aolp: twice the angle has no jump. `weighted` gives s0 and dolp times that
    sine and cosine: where little is polarized the angle says little. `radians` gives s0, aolp, dolp with aolp in
    (-pi/2, pi/2]. `folded` is zju-rgbp's published input, with arctan instead of atan2: two directions that
    are mirror images become one number, so it is only for comparison with work that used it.
    """
    colours = _colours(raster.bands, ("s0", "s1", "s2"))
    s0, s1, s2 = (_planes(raster, name, colours) for name in ("s0", "s1", "s2"))
    valid = np.logical_and.reduce([_valid(raster, name, colours) for name in ("s0", "s1", "s2")])
    polarized = np.hypot(s1, s2)
    if angle == "folded":
        total = s0 + LEGACY_EPSILON
        folded = np.arctan(s2 / np.where(s1 == 0, LEGACY_EPSILON, s1)) / 2
        planes, names = [total, folded, np.minimum(1, polarized / total)], ("s0", "aolp", "dolp")
        return _encoded(raster, names, colours, np.concatenate(planes), np.concatenate([valid] * 3))
    valid = valid & (s0 > 0)
    degree = np.minimum(1, polarized / np.where(valid, s0, 1))
    if angle == "radians":
        planes, names = [s0, np.arctan2(s2, s1) / 2, degree], ("s0", "aolp", "dolp")
        return _encoded(raster, names, colours, np.concatenate(planes), np.concatenate([valid] * 3))
    if angle == "weighted":
        share = degree / np.where(polarized > 0, polarized, 1)
        planes, names = [s0, s2 * share, s1 * share], ("s0", "dolpsin2aolp", "dolpcos2aolp")
        return _encoded(raster, names, colours, np.concatenate(planes), np.concatenate([valid] * 3))
    length = np.where(polarized > 0, polarized, 1)  # light without polarization has no direction: 0, 0
    planes = [s0, degree, s2 / length, s1 / length]
    every = np.concatenate([valid] * 4)
    return _encoded(raster, ("s0", "dolp", "sin2aolp", "cos2aolp"), colours, np.concatenate(planes), every)


def _colours(bands: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """What follows the name: nothing for one camera, `.red` and so on for a colour camera."""
    colours = tuple(band.removeprefix(names[0]) for band in bands if band.partition(".")[0] == names[0])
    missing = [name + colour for colour in colours or ("",) for name in names if name + colour not in bands]
    if missing:
        raise InputError(f"Polarization needs bands {', '.join(names)}; {', '.join(bands)} lack {', '.join(missing)}.")
    return colours


def _planes(raster: Raster, name: str, colours: tuple[str, ...]) -> NDArray[np.float64]:
    return raster.pixels_CHW[[raster.bands.index(name + colour) for colour in colours]].astype(np.float64)


def _valid(raster: Raster, name: str, colours: tuple[str, ...]) -> NDArray[np.bool_]:
    return raster.valid_CHW[[raster.bands.index(name + colour) for colour in colours]]


def _encoded(
    raster: Raster,
    names: tuple[str, ...],
    colours: tuple[str, ...],
    pixels: NDArray[np.float64],
    valid: NDArray[np.bool_],
) -> Raster:
    bands = tuple(name + colour for name in names for colour in colours)
    shown = np.where(valid, pixels, 0).astype(np.float32)
    return replace(raster, pixels_CHW=shown, valid_CHW=valid, bands=bands, scaling=())
