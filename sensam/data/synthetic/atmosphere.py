"""What AHI's sixteen bands see of a surface under two cloud layers: a plane-parallel atmosphere in closed form.

Solar bands (1-7): asymptotic two-stream reflectance of a cloud over a surface, with absorption that grows with
droplet size, under a Rayleigh and aerosol veil. Thermal bands (7-16): Planck emission of surface and cloud tops,
each seen through one exponential absorber per band (vapour, ozone or carbon dioxide) that emits at the temperature
of its own height. Left out: scattering of thermal radiation, three-dimensional effects, cloud shadows, multiple
reflection between cloud layers.
"""

from dataclasses import dataclass

import numpy as np

from sensam.data.raster import Field

# Central wavelengths of Himawari-8 AHI in micrometres.
WAVELENGTHS_UM = (
    *(0.471, 0.510, 0.639, 0.857, 1.610, 2.257),
    *(3.885, 6.243, 6.941, 7.347, 8.593, 9.637, 10.407, 11.240, 12.381, 13.281),
)
LAPSE_K_PER_KM = 6.5
TROPOPAUSE_K = 212.0
SUN_AT_3_9_UM = 9.7  # W m-2 um-1 at the top of the atmosphere

# Co-albedo of water droplets and ice crystals per micrometre of effective radius, bands 1-7.
_ABSORPTION_WATER = np.array([0, 0, 0, 1e-5, 6e-4, 2e-3, 1.2e-2], np.float32)
_ABSORPTION_ICE = np.array([0, 0, 0, 2e-5, 1.5e-3, 3e-3, 1.0e-2], np.float32)
_RAYLEIGH = np.array([0.105, 0.078, 0.032, 0.010, 0.001, 0, 0], np.float32)
_AEROSOL = np.array([1.45, 1.32, 1.0, 0.70, 0.33, 0.21, 0], np.float32)  # ~ wavelength^-1.2, 1 at 0.64 um

# One absorber per thermal band: optical depth of the whole column, and the scale height it thins out with.
_COLUMN_DEPTH = np.array([0.10, 45, 18, 8.0, 0.22, 0.55, 0.10, 0.15, 0.27, 0.95], np.float32)
_SCALE_KM = np.array([4, 2, 2, 2, 2, 30, 2, 2, 2, 4.5], np.float32)
_FOLLOWS_VAPOUR = np.array([0, 1, 1, 1, 1, 0, 1, 1, 1, 0], np.float32)
# Absorption optical depth of a cloud in a thermal band, per unit of its visible optical depth.
_CLOUD_ABSORPTION = np.array([0.45, 0.55, 0.55, 0.55, 0.50, 0.50, 0.45, 0.52, 0.60, 0.60], np.float32)

_C1 = 1.191043e8  # 2 h c^2 in W m-2 sr-1 um^4
_C2 = 14387.77  # h c / k in um K


@dataclass(frozen=True, slots=True)
class Layer:
    """A cloud layer: visible optical depth, droplet radius (um), temperature (K) and height (km) of its top."""

    depth_HW: Field
    radius_um: float
    temperature_HW: Field
    height_HW: Field
    ice: bool = False


@dataclass(frozen=True, slots=True)
class Air:
    """Everything else a scene's radiation depends on."""

    sun_cosine: float
    view_cosine: float
    aerosol: float  # reflectance at 0.64 um
    vapour_HW: Field  # column of water vapour, 1 is a mid-latitude spring day
    surface_air_k: float


def planck(temperature: Field, wavelength_um: float) -> Field:
    """Spectral radiance of a black body, W m-2 sr-1 um-1."""
    exponential = np.exp(np.float32(_C2 / wavelength_um) / temperature)  # above e^3 here: no need of expm1
    return np.asarray(np.float32(_C1 / wavelength_um**5) / (exponential - 1), np.float32)


def brightness_temperature(radiance: Field, wavelength_um: float) -> Field:
    """The inverse of `planck`."""
    logarithm = np.log(np.float32(_C1 / wavelength_um**5) / radiance + 1)
    return np.asarray(np.float32(_C2 / wavelength_um) / logarithm, np.float32)


def cloud_optics(layer: Layer, sun_cosine: float) -> tuple[Field, Field]:
    """Reflectance and diffuse transmittance of a cloud alone in bands 1-7.

    Conservative two-stream reflectance, damped by droplet absorption as in a thick cloud (King 1987); what passes
    falls off with the diffusion exponent, so that an absorbing cloud hides what lies below.
    """
    asymmetry = np.float32(0.80 if layer.ice else 0.86)
    absorption = (_ABSORPTION_ICE if layer.ice else _ABSORPTION_WATER) * np.float32(layer.radius_um)
    similarity = np.sqrt(absorption / (1 - asymmetry * (1 - absorption)))
    thick = (1 - similarity) * (1 - 0.139 * similarity) / (1 + 1.17 * similarity)
    exponent = np.sqrt(3 * absorption * (1 - asymmetry * (1 - absorption)))
    scaled = (1 - asymmetry) * layer.depth_HW
    conservative = scaled / (1.5 * np.float32(sun_cosine) + scaled)
    passed = (1 - conservative) * np.exp(-exponent[:, None, None] * layer.depth_HW)
    return np.asarray(thick[:, None, None] * conservative, np.float32), np.asarray(passed, np.float32)


def seen_from_space(surface_7HW: Field, surface_k_HW: Field, low: Layer, high: Layer, air: Air) -> Field:
    """The sixteen bands: reflected sunlight times the sun's cosine for 1-6, brightness temperature for 7-16."""
    below, passed_low = cloud_optics(low, air.sun_cosine)
    above, passed_high = cloud_optics(high, air.sun_cosine)
    reflected = below + passed_low**2 * surface_7HW
    reflected = above + passed_high**2 * reflected
    veil = (_RAYLEIGH / (air.sun_cosine + air.view_cosine) + _AEROSOL * air.aerosol)[:, None, None]
    reflected = (veil + (1 - veil) * reflected) * np.float32(air.sun_cosine)
    bands = np.empty((16, *surface_k_HW.shape), np.float32)
    bands[:6] = reflected[:6]
    sunlight = reflected[6] * np.float32(SUN_AT_3_9_UM / np.pi * 0.85)  # 15 % is absorbed on the way down and up
    for thermal in range(10):  # band by band: arrays of one plane stay in the processor's cache
        wavelength = WAVELENGTHS_UM[6 + thermal]
        radiance = _emitted(thermal, surface_k_HW, np.float32(0), air)
        for layer, reflectance in ((low, below[6]), (high, above[6])):
            passed = np.exp(-np.float32(_CLOUD_ABSORPTION[thermal] / air.view_cosine) * layer.depth_HW)
            # Kirchhoff: small droplets reflect 3.9 um, and so emit less of it.
            emissivity = 1 - passed - (reflectance if thermal == 0 else 0)
            radiance = passed * radiance + emissivity * _emitted(thermal, layer.temperature_HW, layer.height_HW, air)
        if thermal == 0:
            radiance += sunlight
        bands[6 + thermal] = brightness_temperature(radiance, wavelength)
    return bands


def _emitted(thermal: int, temperature_HW: Field, height_HW: Field | np.float32, air: Air) -> Field:
    """Radiance at the top of the atmosphere of an opaque target, dimmed and refilled by the gas above it."""
    wavelength, scale = WAVELENGTHS_UM[6 + thermal], np.float32(_SCALE_KM[thermal])
    depth = np.float32(_COLUMN_DEPTH[thermal] / air.view_cosine) * np.exp(-height_HW / scale)
    if _FOLLOWS_VAPOUR[thermal]:
        depth = depth * air.vapour_HW
    emission_km = height_HW + scale * np.log(np.float32(np.e) + depth)  # a thin absorber shines from one scale height
    gas_k = np.maximum(np.float32(air.surface_air_k) - np.float32(LAPSE_K_PER_KM) * emission_km, TROPOPAUSE_K)
    gas = planck(np.asarray(gas_k, np.float32), wavelength)
    return np.asarray(gas + np.exp(-depth) * (planck(temperature_HW, wavelength) - gas), np.float32)
