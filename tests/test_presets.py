"""Presets: bands, colours, units and wavelengths are those that their sources publish."""

import numpy as np
import pytest

from sensam.data.encodings import encode_polarization, stokes
from sensam.data.raster import Raster
from sensam.sensors import load_sensor, preset_names
from tests.made_rasters import raster_of

AHI = " ".join(f"B{number:02d}" for number in range(1, 17))
S2 = "B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12"
LANDSAT = "SR_B1 SR_B2 SR_B3 SR_B4 SR_B5 SR_B6 SR_B7 ST_B10"
REFLECTANCE_AND_K = ["reflectance"] * 7 + ["K"]
PRESETS = {  # bands in order, what looks like red, green and blue, geometry, units
    "depth": ("depth", "", "perspective", ["m"]),
    "hha": ("disparity height angle", "disparity height angle", "perspective", ["DN"] * 3),
    "himawari-ahi": (AHI, "B03 B02 B01", "nadir", ["albedo"] * 6 + ["K"] * 10),
    "landsat8": (LANDSAT, "SR_B4 SR_B3 SR_B2", "nadir", REFLECTANCE_AND_K),
    "landsat9": (LANDSAT, "SR_B4 SR_B3 SR_B2", "nadir", REFLECTANCE_AND_K),
    "mri": ("FLAIR T1 T1ce T2", "", "perspective", ["DN"] * 4),
    "polarization": ("dolp aolp", "", "perspective", ["1", "rad"]),
    "polarization-encoded": ("s0 dolp sin2aolp cos2aolp", "", "perspective", ["DN", "1", "1", "1"]),
    "polarization-stokes": ("s0 s1 s2", "", "perspective", ["DN"] * 3),
    "rgb": ("red green blue", "red green blue", "perspective", ["DN"] * 3),
    "rgb-depth": ("red green blue depth", "red green blue", "perspective", ["DN"] * 3 + ["m"]),
    "rgb-nir": ("red green blue nir", "red green blue", "nadir", ["DN"] * 4),
    "rgb-thermal": ("red green blue thermal", "red green blue", "perspective", ["DN"] * 4),
    "sar-amplitude": ("amplitude", "", "nadir", ["DN"]),
    "sar-quadpol": ("HH HV VH VV", "", "nadir", ["DN"] * 4),
    "sentinel1-db": ("VV VH", "", "nadir", ["dB"] * 2),
    "sentinel2-l1c": (S2, "B04 B03 B02", "nadir", ["reflectance"] * 13),
    "sentinel2-l2a": (S2.replace("B10 ", ""), "B04 B03 B02", "nadir", ["reflectance"] * 12),
    "thermal": ("thermal", "", "perspective", ["DN"]),
}


class TestPresets:
    def test_all_are_there(self):
        assert preset_names() == sorted(PRESETS)

    @pytest.mark.parametrize("name", PRESETS)
    def test_bands_colours_geometry_and_units(self, name):
        sensor = load_sensor(name)
        bands, rgb, geometry, units = PRESETS[name]
        assert sensor.band_names == tuple(bands.split())
        assert (sensor.rgb or ()) == tuple(rgb.split())
        assert sensor.geometry == geometry
        assert [band.unit for band in sensor.bands] == units

    @pytest.mark.parametrize("name", preset_names())
    def test_each_says_what_it_is_for_and_who_says_so(self, name):
        sensor = load_sensor(name)
        assert sensor.name == name
        assert sensor.title
        assert len(sensor.source) > 40

    def test_sentinel2(self):
        l1c, l2a = load_sensor("sentinel2-l1c"), load_sensor("sentinel2-l2a")
        assert set(l1c.band_names) - set(l2a.band_names) == {"B10"}
        lengths = [443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1375, 1610, 2190]
        assert [band.wavelength_nm for band in l1c.bands] == lengths
        assert {(band.scale, band.offset, band.nodata, band.unit) for band in l2a.bands} == {
            (0.0001, 0, 0, "reflectance")
        }
        assert "BOA_ADD_OFFSET" in l2a.source
        saturated = l2a.select(["B02"])
        assert not saturated.decode(raster_of(saturated, [[[65_535]]])).valid_CHW.any()

    def test_landsat(self):
        for name in ("landsat8", "landsat9"):
            *reflective, thermal = load_sensor(name).bands
            assert {(band.scale, band.offset, band.nodata) for band in reflective} == {(0.0000275, -0.2, 0)}
            assert (thermal.name, thermal.scale, thermal.offset, thermal.unit) == ("ST_B10", 0.00341802, 149, "K")

    @pytest.mark.parametrize(
        ("name", "lengths"),
        [
            ("landsat8", [443, 482, 561, 655, 865, 1609, 2201, 10_895]),
            ("landsat9", [443, 482, 561, 654, 865, 1608, 2200, 10_800]),
        ],
    )
    def test_landsat_wavelengths(self, name, lengths):
        assert [band.wavelength_nm for band in load_sensor(name).bands] == lengths

    def test_himawari(self):
        bands = load_sensor("himawari-ahi").bands
        microns = [0.47, 0.51, 0.64, 0.86, 1.6, 2.3, 3.9, 6.2, 6.9, 7.3, 8.6, 9.6, 10.4, 11.2, 12.4, 13.3]
        assert [(band.wavelength_nm or 0) / 1000 for band in bands] == pytest.approx(microns)
        assert [band.unit for band in bands] == ["albedo"] * 6 + ["K"] * 10

    def test_radar_wavelengths_follow_from_the_frequency(self):
        for name, gigahertz in (("sentinel1-db", 5.405), ("sar-quadpol", 5.4)):
            expected = 299_792_458 / (gigahertz * 1e9) * 1e9
            assert all(band.wavelength_nm == pytest.approx(expected, rel=1e-7) for band in load_sensor(name).bands)

    def test_an_undeclared_fill_value_is_no_echo(self):
        sensor = load_sensor("sentinel1-db")
        decoded = sensor.decode(raster_of(sensor, [[[-9999, -32768, 0, -23.5]]] * 2))
        assert decoded.valid_CHW[0, 0].tolist() == [False, False, True, True]

    @pytest.mark.parametrize("angle", ["double", "radians"])
    def test_what_polarizers_are_encoded_to_has_a_preset(self, angle):
        """From four angles to the bands of a preset, by their names and inside their valid ranges."""
        seen = np.random.default_rng(0).uniform(1, 100, (4, 5, 6)).astype(np.float32)
        parameters = stokes(Raster(seen, np.ones(seen.shape, bool), ("0", "45", "90", "135"), is_decoded=False))
        assert parameters.bands == load_sensor("polarization-stokes").band_names
        encoded = encode_polarization(parameters, angle)
        sensor = load_sensor("polarization-encoded" if angle == "double" else "polarization")
        places = [encoded.bands.index(name) for name in sensor.band_names]
        decoded = sensor.decode(raster_of(sensor, encoded.pixels_CHW[places]))
        assert decoded.valid_CHW.all()
        assert np.array_equal(decoded.pixels_CHW, encoded.pixels_CHW[places])

    def test_photographs_are_normalised_as_segment_anything_was_trained(self):
        sensor = load_sensor("rgb")
        raster = sensor.decode(raster_of(sensor, np.full((3, 1, 1), 128)))
        expected = [(128 - mean) / std for mean, std in ((123.675, 58.395), (116.28, 57.12), (103.53, 57.375))]
        assert sensor.normalise(raster).ravel() == pytest.approx(expected, rel=1e-6)

    def test_distance_zero_is_no_measurement(self):
        sensor = load_sensor("depth")
        assert sensor.decode(raster_of(sensor, [[[0, 1000]]])).valid_CHW[0, 0].tolist() == [False, True]
