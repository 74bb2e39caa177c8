"""Sensors: decoding, normalising, names of bands, and settings that explain themselves."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sensam.errors import InputError, SettingsError
from sensam.sensors import Band, Sensor, hyperspectral, load_sensor, name_key, preset_names
from tests.made_rasters import raster_of


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

    @pytest.mark.slow
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


def test_band_refuses_numbers_that_are_none():
    with pytest.raises(ValueError, match="finite"):
        Band(name="a", offset=float("nan"))
