"""Sensors: decoding, normalising, presets whose facts are public, and settings that explain themselves."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sensam.data.encodings import encode_polarization, stokes
from sensam.data.raster import Raster
from sensam.errors import InputError, SettingsError
from sensam.sensors import Band, Sensor, hyperspectral, load_sensor, name_key, preset_names


def raster_of(sensor, pixels_CHW, valid_CHW=None, **fields):
    pixels = np.asarray(pixels_CHW, np.float32)
    valid = np.ones(pixels.shape, bool) if valid_CHW is None else np.asarray(valid_CHW)
    return Raster(pixels, valid, sensor.band_names, **({"is_decoded": False} | fields))


def sensor_of(**band):
    return Sensor.from_dict({"name": "one", "bands": [{"name": "a", **band}]})


class TestDecoding:
    def test_scale_offset_and_what_is_no_data(self):
        sensor = sensor_of(scale=0.5, offset=-1, nodata=-9999, valid_range=[0, 10], unit="K")
        stored = [[[2, 4, -9999, np.nan, np.inf, 100, 1, 22]]]
        decoded = sensor.decode(raster_of(sensor, stored))
        assert decoded.pixels_CHW[0, 0].tolist() == [0, 1, 0, 0, 0, 0, 0, 10]
        assert decoded.valid_CHW[0, 0].tolist() == [True, True, False, False, False, False, False, True]
        assert decoded.is_decoded

    def test_a_mask_from_the_file_stays(self):
        sensor = sensor_of()
        decoded = sensor.decode(raster_of(sensor, [[[1, 2]]], [[[True, False]]]))
        assert decoded.valid_CHW.tolist() == [[[True, False]]]
        assert decoded.pixels_CHW.tolist() == [[[1, 0]]]

    @settings(deadline=None)
    @given(arrays.arrays(np.uint16, 30))
    def test_landsat_agrees_with_usgs_in_double_precision(self, stored):
        sensor = load_sensor("landsat8").select(["SR_B4", "ST_B10"])
        decoded = sensor.decode(raster_of(sensor, np.stack([stored[None], stored[None]])))
        reflectance, kelvin = stored * 0.0000275 - 0.2, stored * 0.00341802 + 149.0
        for found, expected in zip(decoded.pixels_CHW[:, 0], (reflectance, kelvin), strict=True):
            assert found[stored > 0] == pytest.approx(expected[stored > 0], rel=2e-6, abs=1e-6)
        assert (decoded.valid_CHW[:, 0] == (stored > 0)).all()

    def test_examples_of_usgs(self):
        sensor = load_sensor("landsat9").select(["SR_B4", "ST_B10"])
        decoded = sensor.decode(raster_of(sensor, [[[18_639]], [[44_947]]]))
        assert decoded.pixels_CHW.ravel() == pytest.approx([0.313, 302.6], abs=0.05)

    @pytest.mark.parametrize("value", [0.0, 1.0, 10_000.0])
    def test_rounding_loses_nothing_at_the_ends_of_the_valid_range(self, value):
        sensor = sensor_of(scale=1e-4, valid_range=[0, 1])
        assert sensor.decode(raster_of(sensor, [[[value]]])).valid_CHW.all()

    def test_a_file_knows_best_how_it_was_packed(self):
        sensor = load_sensor("sentinel2-l2a").select(["B02"])
        decoded = sensor.decode(raster_of(sensor, [[[1452]]], scaling=((0.0001, -0.1),)))
        assert decoded.pixels_CHW.item() == pytest.approx(0.0452)

    def test_twice_is_refused(self):
        sensor = sensor_of(scale=2)
        decoded = sensor.decode(raster_of(sensor, [[[1]]]))
        with pytest.raises(InputError, match="must not decode it twice"):
            sensor.decode(decoded)

    def test_other_bands_are_refused(self):
        one, other = sensor_of(), Sensor.from_dict({"name": "two", "bands": ["b"]})
        with pytest.raises(InputError, match="has bands b, but sensor one needs a"):
            one.decode(raster_of(other, [[[1]]]))

    def test_the_image_given_is_left_alone(self):
        sensor = sensor_of(scale=2, nodata=1)
        raster = raster_of(sensor, [[[1, 2]]])
        sensor.decode(raster)
        assert raster.pixels_CHW.tolist() == [[[1, 2]]]
        assert raster.valid_CHW.all()


class TestNormalising:
    def test_mean_becomes_zero_and_so_does_what_is_not_valid(self):
        sensor = sensor_of(mean=10, std=2)
        raster = raster_of(sensor, [[[10, 12, 7, np.nan]]], [[[True, True, False, False]]], is_decoded=True)
        normalised = sensor.normalise(raster)
        assert normalised.dtype == np.float32
        assert normalised.tolist() == [[[0, 1, 0, 0]]]

    def test_missing_statistics_name_the_way_to_them(self):
        sensor = load_sensor("sentinel2-l2a").select(["B02", "B03"])
        raster = raster_of(sensor, np.zeros((2, 1, 1)), is_decoded=True)
        with pytest.raises(SettingsError, match=r"no statistics for B02, B03.*sensam stats"):
            sensor.normalise(raster)
        ready = sensor.with_statistics([0.1, 0.2], [0.5, 0.25])
        assert ready.normalise(raster).ravel() == pytest.approx([-0.2, -0.8])

    def test_stored_numbers_are_refused(self):
        sensor = sensor_of(mean=0, std=1)
        with pytest.raises(InputError, match="Decode it with one"):
            sensor.normalise(raster_of(sensor, [[[1]]]))

    @pytest.mark.parametrize("std", [0, -1, float("nan")])
    def test_a_spread_that_cannot_be(self, std):
        with pytest.raises(SettingsError, match=r"bands\.0\.std"):
            sensor_of().with_statistics([0.0], [std])


class TestNames:
    @pytest.mark.parametrize(
        ("one", "other"), [("B02", "b2"), ("B_02", "B2"), ("Red Edge 1", "rededge1"), ("B012", "B12")]
    )
    def test_spellings_of_one_band(self, one, other):
        assert name_key(one) == name_key(other)

    @pytest.mark.parametrize(("one", "other"), [("B1", "B10"), ("B8", "B8A"), ("B20", "B2"), ("T1", "T1ce")])
    def test_names_of_two_bands(self, one, other):
        assert name_key(one) != name_key(other)

    def test_index_by_name_alias_and_spelling(self):
        sensor = load_sensor("sentinel2-l2a")
        assert [sensor.index(name) for name in ("B03", "B3", "green", "nir", "B8A", "nir08")] == [2, 2, 2, 7, 8, 8]
        with pytest.raises(SettingsError, match="Did you mean 'B8A'"):
            sensor.index("B8B")

    def test_select(self):
        sensor = load_sensor("sentinel2-l2a")
        assert sensor.select(["nir", "B4"]).band_names == ("B08", "B04")
        assert sensor.select(["B04", "B03", "B02"]).rgb == ("B04", "B03", "B02")
        assert sensor.select(["B04", "B08"]).rgb is None
        with pytest.raises(SettingsError, match="one band twice"):
            sensor.select(["B02", "blue"])
        with pytest.raises(SettingsError, match="No band"):
            sensor.select([])


class TestDisplay:
    def test_named_colours(self):
        assert load_sensor("himawari-ahi").display == (2, 1, 0)

    def test_nearest_colours_of_many_bands(self):
        lengths = [400 + 3.0 * position for position in range(156)]
        shown = hyperspectral(156, lengths).display
        assert [lengths[position] for position in shown] == pytest.approx([650, 560, 470], abs=1.5)

    def test_false_colours_are_spread_over_what_is_there(self):
        infrared = load_sensor("himawari-ahi").select(["B07", "B11", "B13", "B15", "B16"])
        assert infrared.display == (4, 2, 0)

    @pytest.mark.parametrize(("count", "shown"), [(1, (0, 0, 0)), (2, (0, 1, 0)), (3, (0, 1, 2)), (9, (0, 1, 2))])
    def test_bands_without_wavelengths(self, count, shown):
        assert hyperspectral(count).display == shown


class TestTravel:
    @pytest.mark.parametrize("name", [*preset_names(), "hyperspectral-7"])
    def test_through_json_and_back(self, name):
        sensor = load_sensor(name)
        assert Sensor.from_dict(json.loads(json.dumps(sensor.to_dict()))) == sensor

    @settings(deadline=None)
    @given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e5))
    def test_statistics_survive_exactly(self, scale, mean, std):
        sensor = sensor_of(scale=scale).with_statistics([mean], [std])
        assert Sensor.from_dict(json.loads(json.dumps(sensor.to_dict()))) == sensor


class TestSettings:
    def load(self, tmp_path, text):
        (tmp_path / "mine.yaml").write_text(text)
        return load_sensor(tmp_path / "mine.yaml")

    def test_bands_as_names_and_a_field_for_all(self, tmp_path):
        sensor = self.load(tmp_path, "name: mine\nevery_band: {unit: K, scale: 2}\nbands: [a, {name: b, scale: 3}]")
        assert [(band.name, band.unit, band.scale) for band in sensor.bands] == [("a", "K", 2), ("b", "K", 3)]

    def test_a_preset_with_changes(self, tmp_path):
        text = (
            "preset: sentinel2-l2a\nname: later\nevery_band: {offset: -0.1}\nbands: [B04, {name: B03, nodata: 7}, B02]"
        )
        sensor = self.load(tmp_path, text)
        assert sensor.name == "later"
        assert sensor.band_names == ("B04", "B03", "B02")
        assert [(band.scale, band.offset, band.nodata) for band in sensor.bands] == [
            (0.0001, -0.1, 0),
            (0.0001, -0.1, 7),
            (0.0001, -0.1, 0),
        ]
        assert sensor.rgb == ("B04", "B03", "B02")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: x\nbands: [{name: a, wavelenght_nm: 3}]", "bands.0.wavelenght_nm: .*did you mean wavelength_nm"),
            ("name: x\nbands: [{name: a, scale: fast}]", "bands.0.scale: .*valid number.*found 'fast'"),
            ("name: x\nbands: [{name: a, wavelength_nm: -4}]", "bands.0.wavelength_nm: .*greater than 0, found -4"),
            ("name: x\nbands: [{name: a, scale: 0}]", "bands.0: scale 0 would make every value the same"),
            ("name: x\nbands: [{name: a, valid_range: [3, 1]}]", "valid_range must rise"),
            ("name: x\nbands: [{name: a, mean: 1}]", "mean and std come together"),
            ("name: x\nbands: [{scale: 1}]", "bands.0.name: Field required"),
            ("name: x\nbands: [3]", "bands.0"),
            ("name: x\nbands: []", "bands: .*at least 1"),
            ("name: x\nbands: many", "bands: .*found 'many'"),
            ("name: x", "bands: Field required"),
            ("name: x\nbands: [a, a]", "band names must differ"),
            ("name: x\nbands: [{name: a, aliases: [B]}, b]", "a and b share the name or alias 'b'"),
            ("name: x\nbands: [a]\nrgb: [a, b, c]", r"rgb names \['b', 'c'\], but the bands are \['a'\]"),
            ("name: x\nbands: [a]\ngeometry: flat", "geometry: .*'nadir'.*found 'flat'"),
            ("name: x\nbands: [a]\ngeometry: fisheye", "fisheye and fov_deg, .* come together"),
            ("name: x\nbands: [a]\ngeometry: fisheye\nfov_deg: 400", "fov_deg: .*less than 360, found 400"),
            ("name: x\nbands: [a]\nfov_deg: 90", "fisheye and fov_deg, .* come together"),
            ("preset: sentinel2-l3", "Did you mean 'sentinel2-l2a'"),
            ("preset: sentinel2-l2a\nbands: [[B02]]", r"\['B02'\] is neither a band's name nor"),
            ("preset: sentinel2-l2a\nbands: [B2, B99]", "no band of sentinel2-l2a named 'B99'"),
            ("name: x\nbands: [a", "not valid YAML: .* in line 2"),
            ("- a\n- b", "holds no sensor"),
            ("", "holds no sensor"),
        ],
    )
    def test_mistakes_are_explained_in_one_line(self, tmp_path, text, message):
        with pytest.raises(SettingsError) as caught:
            self.load(tmp_path, text)
        assert re.search(message, str(caught.value))
        assert "\n" not in str(caught.value)
        assert "pydantic" not in str(caught.value)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(InputError, match=r"nowhere\.yaml does not exist"):
            load_sensor(tmp_path / "nowhere.yaml")

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("sentinel-2", "sentinel2-l1c or sentinel2-l2a"),
            ("Landsat", "landsat8 or landsat9"),
            ("sentinl2", "'sentinel2-l2a'"),
            ("hyperspectral", "'hyperspectral-156'"),
        ],
    )
    def test_an_unknown_preset_suggests_the_nearest(self, name, meant):
        with pytest.raises(SettingsError, match=rf"no sensor named '{name}'\. Did you mean {meant}\?"):
            load_sensor(name)

    def test_hyperspectral_needs_as_many_wavelengths_as_bands(self):
        assert load_sensor("hyperspectral-156").band_names[-1] == "band_155"
        with pytest.raises(SettingsError, match="3 bands need 3 wavelengths, found 2"):
            hyperspectral(3, [400.0, 500.0])
        with pytest.raises(SettingsError, match="hyperspectral-0: bands"):
            load_sensor("hyperspectral-0")


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


def test_band_refuses_numbers_that_are_none():
    with pytest.raises(ValueError, match="finite"):
        Band(name="a", offset=float("nan"))
