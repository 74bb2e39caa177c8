"""The contract: bands are found, reordered or refused, and numbers of another kind are no match."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensam.data.raster import RasterInfo
from sensam.errors import InputError, SettingsError
from sensam.radiometry import RadiometryContract, check, match
from sensam.sensors import Sensor, hyperspectral, load_sensor

S2 = load_sensor("sentinel2-l2a")


def info_of(*bands, dtype="uint16", **fields):
    count = len(bands)
    empty = dict.fromkeys(("wavelengths_nm", "nodata", "scaling"), (None,) * count)
    empty |= dict.fromkeys(("units", "descriptions"), ("",) * count)
    named = not all(band.startswith("band_") for band in bands)
    return RasterInfo("scene.tif", bands, 8, 8, (dtype,) * count, **{"has_names": named, **empty, **fields})


def counted(count, **fields):
    return info_of(*(f"band_{position}" for position in range(count)), **fields)


class TestMatching:
    def test_by_name(self):
        found = match(S2, info_of(*S2.band_names))
        assert (found.bands, found.how, found.notes) == (S2.band_names, "name", ())

    @settings(deadline=None)
    @given(st.permutations([band.aliases[0] for band in S2.bands]))
    def test_any_order_of_any_spelling_is_put_right(self, names):
        found = match(S2, info_of(*names))
        assert found.how == "name"
        assert found.bands == tuple(band.aliases[0] for band in S2.bands)

    def test_what_is_moved_or_left_out_is_said(self):
        found = match(load_sensor("rgb"), info_of("blue", "green", "red", "SCL", dtype="uint8"))
        assert found.bands == ("red", "green", "blue")
        assert found.notes == (
            "scene.tif: bands put into the order of rgb: red, green, blue",
            "scene.tif: not used: SCL",
        )

    def test_names_that_are_given(self):
        sensor = S2.select(["B04", "B08"])
        found = match(sensor, counted(4), names=["B2", "nir", "-", "B04"])
        assert found.bands == ("band_3", "band_1")
        with pytest.raises(SettingsError, match=r"has 4 bands, but --bands names 2: B2,B3"):
            match(sensor, counted(4), names=["B2", "B3"])

    def test_by_wavelength(self):
        lengths = (2202.4, 492.4, 945.1, 442.7, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1373.5, 1613.7)
        found = match(S2, counted(13, wavelengths_nm=lengths))
        assert found.how == "wavelength"
        expected = [3, 1, 4, 5, 6, 7, 8, 9, 10, 2, 12, 0]
        assert found.bands == tuple(f"band_{position}" for position in expected)
        assert "B01 = band_3" in found.notes[0]

    def test_narrow_bands_near_each_other_are_told_apart(self):
        lengths = [400 + 3.13 * position for position in range(156)]
        sensor = hyperspectral(156, lengths)
        found = match(sensor, counted(156, wavelengths_nm=tuple(length + 0.7 for length in reversed(lengths))))
        assert found.bands == tuple(f"band_{155 - position}" for position in range(156))

    def test_in_order_with_a_statement(self):
        found = match(S2, counted(12))
        assert found.how == "count"
        assert found.notes[0].startswith("scene.tif does not name its bands; taken in order as B01, B02")
        for first in (0, 1):
            assert match(S2, info_of(*(f"Band {n}" for n in range(first, 12 + first)))).how == "count"
        kept = [f"Band {n}" for n in (5, 6, 8, 9)]  # of a cube whose bad bands were dropped
        assert match(hyperspectral(4), info_of(*kept)).how == "count"
        with pytest.raises(InputError, match="names its bands Band 5, Band 6, Band 8, Band 9, which rgb-nir"):
            match(load_sensor("rgb-nir"), info_of(*kept, dtype="uint8"))

    def test_the_alpha_of_four_8_bit_bands_is_the_fourth(self):
        found = match(
            load_sensor("rgb-nir"), info_of("red", "green", "blue", dtype="uint8", has_names=False, has_alpha=True)
        )
        assert found.bands == ("red", "green", "blue", "alpha")
        assert "the last from the alpha channel" in found.notes[0]

    @pytest.mark.parametrize(
        ("sensor", "count", "message"),
        [
            (
                "sentinel2-l2a",
                4,
                "scene.tif has 4 bands, sentinel2-l2a has 12. "
                "Name them with --bands B02,B03,B04,B08, or use --sensor rgb-nir.",
            ),
            (
                "sentinel2-l2a",
                3,
                "scene.tif has 3 bands, sentinel2-l2a has 12. Name them with --bands B04,B03,B02, or use --sensor rgb.",
            ),
            (
                "landsat8",
                9,
                "scene.tif has 9 bands, landsat8 has 8. Name them with --bands "
                "SR_B1,SR_B2,SR_B3,SR_B4,SR_B5,SR_B6,SR_B7,ST_B10,-, or use --sensor hyperspectral-9.",
            ),
            (
                "sentinel1-db",
                1,
                "scene.tif has 1 band, sentinel1-db has 2. "
                "Name them with --bands VV, or describe its sensor in a YAML file.",
            ),
        ],
    )
    def test_another_number_of_bands(self, sensor, count, message):
        with pytest.raises(InputError) as caught:
            match(load_sensor(sensor), counted(count))
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("info", "message"),
        [
            (info_of("B02", "B03", "B04", "B08"), r"lacks B01, B05, .* of sentinel2-l2a\. It has B02, B03, B04, B08\."),
            (info_of(*(f"pca{n}" for n in range(12))), "names its bands pca0, .*which sentinel2-l2a does not know"),
            (
                counted(12, wavelengths_nm=(443, 800) + (None,) * 10),
                "band of 800 nm where sentinel2-l2a has B02 of 490 nm",
            ),
        ],
    )
    def test_what_speaks_against_a_match(self, info, message):
        with pytest.raises(InputError, match=message):
            match(S2, info)

    def test_the_same_name_of_another_colour_is_refused(self):
        """Band 1 is blue on Landsat 7 and coastal on Landsat 8."""
        coastal = load_sensor("landsat8").select(["SR_B1"])
        with pytest.raises(InputError, match="band of 485 nm where landsat8 has SR_B1 of 443 nm"):
            match(coastal, info_of("SR_B1", wavelengths_nm=(485,)))
        assert match(coastal, info_of("SR_B1", wavelengths_nm=(450,))).how == "name"

    @pytest.mark.parametrize("name", ["landsat8", "landsat9"])
    def test_landsat_as_its_catalogues_name_it_and_not_of_level_1(self, name):
        """Level 1 is packed otherwise; USGS calls its bands B1 to B11, and those of Level 2 SR_B1 to ST_B10."""
        sensor = load_sensor(name)
        lengths = (440, 480, 560, 650, 860, 1600, 2200, 10_900)
        stac = (*(f"OLI_B{number}" for number in range(1, 8)), "TIRS_B10")
        assert match(sensor, info_of(*stac, wavelengths_nm=lengths)).how == "name"
        assert match(sensor, info_of(*sensor.band_names)).how == "name"
        with pytest.raises(InputError, match=f"names its bands B1, B2, .*which {name} does not know"):
            match(sensor, info_of("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B10"))

    def test_two_bands_for_one(self):
        with pytest.raises(InputError, match="several bands for nir of rgb-nir: infrared, IR"):
            match(load_sensor("rgb-nir"), info_of("red", "green", "blue", "infrared", "IR"))

    def test_a_full_name_wins_over_an_alias(self):
        found = match(load_sensor("rgb-nir"), info_of("red", "green", "blue", "infrared", "nir", dtype="uint8"))
        assert found.bands == ("red", "green", "blue", "nir")


class TestNumbers:
    def test_another_type(self):
        with pytest.raises(InputError, match=r"stores red as uint16, rgb takes uint8.*preset: rgb"):
            match(load_sensor("rgb"), counted(3))

    @pytest.mark.parametrize(("unit", "refused"), [("degC", True), ("Kelvin", False), ("", False), ("W m-2", False)])
    def test_another_unit(self, unit, refused):
        sensor = load_sensor("himawari-ahi").select(["B13"])
        info = counted(1, dtype="float32", units=(unit,))
        if refused:
            with pytest.raises(InputError, match="gives B13 in degC, himawari-ahi takes K"):
                match(sensor, info)
        else:
            assert match(sensor, info).how == "count"

    def test_percent_is_not_a_ratio(self):
        with pytest.raises(InputError, match="gives B03 in %, himawari-ahi takes albedo"):
            match(load_sensor("himawari-ahi").select(["B03"]), counted(1, units=("%",)))

    def test_a_scaling_nobody_asked_for(self):
        plain = Sensor.from_dict({"name": "mine", "bands": ["a"]})
        with pytest.raises(InputError, match=r"scene\.tif: The file states that a is stored x 0\.01"):
            match(plain, counted(1, scaling=((0.01, 0.0),)))


class TestContract:
    def test_fingerprint_is_of_the_numbers_only(self):
        contract = RadiometryContract(S2)
        retitled = S2.model_copy(update={"title": "other", "geometry": "perspective", "rgb": None})
        assert RadiometryContract(retitled) == contract
        assert RadiometryContract(retitled).fingerprint == contract.fingerprint
        assert len({contract, RadiometryContract(retitled)}) == 1
        again = Sensor.from_dict(json.loads(json.dumps(S2.to_dict())))
        assert RadiometryContract(again).fingerprint == contract.fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            {"scale": 2.0},
            {"offset": -0.1},
            {"nodata": 1.0},
            {"valid_range": [0, 1]},
            {"unit": "K"},
            {"dtype": "uint8"},
            {"mean": 0.0, "std": 1.0},
            {"wavelength_nm": 500.0},
        ],
    )
    def test_every_term_counts(self, change):
        other = Sensor.from_dict({"preset": "sentinel2-l2a", "every_band": change})
        assert RadiometryContract(other) != RadiometryContract(S2)
        assert RadiometryContract(other).fingerprint != RadiometryContract(S2).fingerprint

    def test_order_counts(self):
        assert RadiometryContract(S2.select(["B02", "B03"])) != RadiometryContract(S2.select(["B03", "B02"]))

    def test_another_order_passes_and_is_said(self):
        contract = RadiometryContract(S2.select(["B04", "B03", "B02"]))
        found = check(contract, S2.select(["B02", "B03", "B04"]))
        assert found.bands == ("B04", "B03", "B02")
        assert "order B04, B03, B02" in found.notes[0]
        assert check(contract, contract.sensor).notes == ()

    def test_statistics_may_be_missing_but_not_differ(self):
        mine = S2.select(["B02"]).with_statistics([0.1], [0.2])
        assert check(RadiometryContract(mine), S2.select(["B02"])).bands == ("B02",)
        with pytest.raises(
            SettingsError, match=r"statistics of B02: mean 0\.1, std 0\.3, the model's is mean 0\.1, std 0\.2"
        ):
            check(RadiometryContract(mine), S2.select(["B02"]).with_statistics([0.1], [0.3]))

    def test_one_line_for_each_kind_of_difference(self):
        change = {"unit": "DN", "scale": 1.0, "nodata": -9999, "wavelength_nm": 1000, "dtype": "uint8"}
        other = Sensor.from_dict(
            {"preset": "sentinel2-l2a", "name": "raw", "every_band": change, "bands": ["B02", "B03"]}
        )
        with pytest.raises(SettingsError) as caught:
            check(RadiometryContract(S2.select(["B02", "B03"])), other)
        assert str(caught.value).splitlines() == [
            "raw is not what the model has learnt:",
            "wavelength of B02: 1000 nm, the model's is 490 nm (and in 1 more)",
            "unit of B02: DN, the model's is reflectance (and in 1 more)",
            "scaling of B02: stored x 1 + 0, the model's is stored x 0.0001 + 0 (and in 1 more)",
            "nodata rule of B02: nodata -9999, valid range -0.5 to 5, the model's is nodata 0, valid range -0.5 to 5"
            " (and in 1 more)",
            "stored type of B02: uint8, the model's is any (and in 1 more)",
        ]

    def test_missing_bands(self):
        with pytest.raises(SettingsError, match="rgb lacks nir of the model's sensor rgb-nir"):
            check(RadiometryContract(load_sensor("rgb-nir")), load_sensor("rgb"))

    def test_a_file_is_matched(self):
        assert check(RadiometryContract(S2), info_of(*reversed(S2.band_names))).bands == S2.band_names
