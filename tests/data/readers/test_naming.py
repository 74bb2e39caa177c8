"""Names and wavelengths from ENVI headers, the IMAGERY domain, descriptions and STAC items."""

import json

import numpy as np
import pytest

from sensam.data.readers import describe, open_raster
from sensam.data.readers.naming import parse_description, to_nanometres
from sensam.data.readers.stac import read_item
from sensam.errors import InputError


def write_envi(folder, fields, dtype="int16", suffix=".dat"):
    stored = np.arange(60, dtype=dtype).reshape(3, 4, 5)
    stored.tofile(folder / f"cube{suffix}")
    code = {"uint8": 1, "int16": 2, "float32": 4, "uint16": 12, "complex64": 6}[dtype]
    shape = (
        f"samples = 5\nlines = 4\nbands = 3\ninterleave = bsq\nbyte order = 0\nheader offset = 0\ndata type = {code}"
    )
    (folder / "cube.hdr").write_text(f"ENVI\n{shape}\n" + "\n".join(fields) + "\n")
    return stored


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("suffix", [".dat", ".img", ""])
def test_envi_comes_back_by_its_header_and_by_its_data(tmp_path, dtype, suffix):
    stored = write_envi(tmp_path, ["data ignore value = 7"], dtype, suffix)
    for path in (tmp_path / "cube.hdr", tmp_path / f"cube{suffix}"):
        raster = open_raster(path)
        assert (raster.pixels_CHW == stored).all()
        assert (raster.valid_CHW == (stored != 7)).all()


@pytest.mark.parametrize(
    ("unit", "lengths"),
    [
        ("Nanometers", "443.5, 560.25, 2190"),
        ("Micrometers", "0.4435, 0.56025, 2.19"),
        ("Unknown", "443.5, 560.25, 2190"),
        ("Unknown", "0.4435, 0.56025, 2.19"),
    ],
)
@pytest.mark.parametrize("names", [True, False])
def test_envi_wavelengths(tmp_path, unit, lengths, names):
    fields = [f"wavelength units = {unit}", f"wavelength = {{{lengths}}}"]
    write_envi(tmp_path, fields + (["band names = {blue, green, swir}"] if names else []))
    info = describe(tmp_path / "cube.dat")
    assert info.wavelengths_nm == (443.5, 560.25, 2190)
    assert info.bands == (("blue", "green", "swir") if names else ("band_0", "band_1", "band_2"))
    assert info.has_names == names


def test_imagery_domain(write_image, numbers):
    def tag(dataset):
        dataset.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.865", FWHM_UM="0.02")
        dataset.set_band_description(2, "B8A")

    info = describe(write_image("a.tif", numbers("uint16"), tag))
    assert info.wavelengths_nm == (None, 865, None)
    assert info.bands == ("band_0", "B8A", "band_2")


@pytest.mark.parametrize(
    ("text", "name", "length"),
    [
        ("B4, central wavelength 665 nm", "B4", 665),
        ("red (0.665 Micrometers)", "red", 665),
        ("443.0 Nanometers", "", 443),
        ("Band 12", "Band 12", None),
        ("NDVI 2020", "NDVI 2020", None),
        ("temperature 10 um", "temperature", 10_000),
        ("", "", None),
    ],
)
def test_descriptions(text, name, length):
    facts = parse_description(text)
    assert (facts.name, facts.wavelength_nm) == (name, length)


@pytest.mark.parametrize(
    ("value", "unit", "length"),
    [
        (0.49, "", 490),
        (490, "Unknown", 490),
        (11.2, "", 11_200),
        (490, "nm", 490),
        (0.49, "µm", 490),
        (5.6, "GHz", None),
        (12, "Index", None),
        ("x", "nm", None),
        (0.001, "nm", None),
        (1e9, "nm", None),
    ],
)
def test_lengths_without_a_unit_are_told_by_their_size(value, unit, length):
    assert to_nanometres(value, unit) == length


STAC_10 = {"eo:bands": [{"name": "B02", "common_name": "blue", "center_wavelength": 0.49}, {"name": "B8A"}]}
STAC_11 = {"bands": [{"name": "B02", "eo:center_wavelength": 0.49}, {"eo:common_name": "B8A"}]}


def item(**assets):
    return {"type": "Feature", "stac_version": "1.1.0", "assets": assets}


@pytest.mark.parametrize("asset", [STAC_10, STAC_11])
def test_an_item_beside_the_image(write_image, numbers, tmp_path, asset):
    path = write_image("scene.tif", numbers("uint16", (2, 4, 4)))
    content = item(data={**asset, "href": "https://example.com/scene.tif"}, thumbnail={"href": "thumb.png"})
    (tmp_path / "scene.json").write_text(json.dumps(content))
    info = describe(path)
    assert info.bands == ("B02", "B8A")
    assert info.wavelengths_nm == (490, None)
    assert open_raster(path, bands=["B8A"]).bands == ("B8A",)


@pytest.mark.parametrize("content", ['{"shapes": []}', "[1, 2]", "not json", '{"stac_version": "1.1.0"}'])
def test_other_json_beside_the_image_says_nothing(write_image, numbers, tmp_path, content):
    path = write_image("scene.tif", numbers("uint16", (2, 4, 4)))
    (tmp_path / "scene.json").write_text(content)
    assert describe(path).bands == ("band_0", "band_1")


def test_an_item_of_another_number_of_bands_is_not_believed(write_image, numbers, tmp_path):
    path = write_image("scene.tif", numbers("uint16"))
    (tmp_path / "scene.json").write_text(json.dumps(item(data={**STAC_10, "href": "scene.tif"})))
    assert describe(path).bands == ("band_0", "band_1", "band_2")


def test_an_item_that_is_given(tmp_path):
    red, blue = {"href": "a/B04.tif", "eo:bands": [{"name": "B04"}]}, {"href": "a/B02.tif", "bands": [{"name": "B02"}]}
    (tmp_path / "item.json").write_text(json.dumps(item(red=red, blue=blue)))
    assert [facts.name for facts in read_item(tmp_path / "item.json", "B02.tif")] == ["B02"]
    with pytest.raises(InputError, match=r"describes no bands of B08\.tif. Its assets are B02\.tif, B04\.tif"):
        read_item(tmp_path / "item.json", "B08.tif")
    with pytest.raises(InputError, match="cannot be read as a STAC item"):
        read_item(tmp_path / "nowhere.json", "B02.tif")
    (tmp_path / "plain.json").write_text("{}")
    with pytest.raises(InputError, match="is no STAC item"):
        read_item(tmp_path / "plain.json", "B02.tif")
