"""GeoTIFF, PNG, JPEG: exact numbers, every kind of mask, windows."""

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from sensam.data.readers import describe, open_raster
from sensam.errors import InputError, SettingsError

from .conftest import GRID, UTM, peak_memory, resident_bytes


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("count", [1, 2, 8, 13])
def test_every_number_comes_back(write_image, numbers, dtype, count):
    stored = numbers(dtype, (count, 6, 7))
    path = write_image("scene.tif", stored, photometric="minisblack")
    raster = open_raster(path)
    assert raster.pixels_CHW.dtype == np.float32
    assert (raster.pixels_CHW.astype(np.float64) == stored.astype(np.float64)).all()
    assert raster.valid_CHW.all()
    assert (raster.crs, raster.transform) == (rasterio.CRS.from_user_input(UTM), GRID)
    assert not raster.is_decoded


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_a_cloud_optimized_file_gives_its_pixels_and_not_its_overviews(write_image, numbers, tmp_path, dtype):
    stored = numbers(dtype, (4, 600, 520))
    plain = write_image("plain.tif", stored, photometric="minisblack")
    copy(plain, tmp_path / "cloud.tif", driver="COG", BLOCKSIZE=256, OVERVIEW_RESAMPLING="AVERAGE", COMPRESS="DEFLATE")
    with rasterio.open(tmp_path / "cloud.tif") as dataset:
        assert dataset.overviews(1)
    assert (open_raster(tmp_path / "cloud.tif").pixels_CHW == stored).all()
    part = open_raster(tmp_path / "cloud.tif", bands=[3, 0], window=(250, 200, 300, 320))
    assert (part.pixels_CHW == stored[[3, 0], 250:550, 200:520]).all()


@pytest.mark.parametrize(("dtype", "largest"), [("uint32", 2**24), ("int32", -(2**24)), ("int64", 2**24)])
def test_wide_integers_are_exact_or_refused(write_image, dtype, largest):
    stored = np.full((1, 4, 4), largest, dtype)
    path = write_image("wide.tif", stored)
    assert (open_raster(path).pixels_CHW == largest).all()
    stored[0, 1, 2] = largest + (1 if largest > 0 else -1)
    with pytest.raises(InputError, match=f"wide.tif holds {dtype} value {stored[0, 1, 2]}"):
        open_raster(write_image("wide.tif", stored))


def test_float64_is_rounded_and_never_overflows_unseen(write_image):
    stored = np.array([[[1 / 3, -1e30, 1e300]]])
    with pytest.raises(InputError, match=r"holds 1e\+300, beyond the range of float32"):
        open_raster(write_image("double.tif", stored))
    raster = open_raster(write_image("double.tif", stored, nodata=1e300))
    assert raster.pixels_CHW[0, 0, :2].tolist() == [np.float32(1 / 3), np.float32(-1e30)]
    assert raster.valid_CHW[0, 0].tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_keeps_both_parts(write_image, numbers, dtype):
    stored = np.round(numbers("complex64", (2, 5, 4)))
    path = write_image("slc.tif", stored, dtype=dtype)
    raster = open_raster(path)
    assert raster.bands == ("band_0.real", "band_0.imag", "band_1.real", "band_1.imag")
    assert (raster.pixels_CHW[0::2] + 1j * raster.pixels_CHW[1::2] == stored).all()
    only = open_raster(path, bands=["band_1.imag"])
    assert (only.pixels_CHW[0] == stored[1].imag).all()


def test_nodata_nan_and_infinity_are_not_valid(write_image):
    stored = np.array([[[1, -9999, np.nan, np.inf]]], np.float32)
    assert open_raster(write_image("a.tif", stored, nodata=-9999)).valid_CHW[0, 0].tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert open_raster(write_image("b.tif", stored, nodata=np.nan)).valid_CHW[0, 0].tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_float32_lowest_value_as_nodata(write_image):
    lowest = float(np.finfo(np.float32).min)
    stored = np.array([[[5, lowest]]], np.float32)
    assert open_raster(write_image("a.tif", stored, nodata=lowest)).valid_CHW[0, 0].tolist() == [True, False]


def test_a_mask_band_and_nodata_both_count(write_image):
    stored = np.array([[[1, 2, 3, 0]]], np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_image(
            "a.tif", stored, lambda dataset: dataset.write_mask(np.array([[255, 0, 255, 255]], np.uint8)), nodata=0
        )
    assert open_raster(path).valid_CHW[0, 0].tolist() == [True, False, True, False]


def test_nodata_of_each_band_counts_for_that_band_only(write_image, tmp_path):
    write_image("a.tif", np.array([[[1, 2]], [[1, 2]]], np.int16))
    vrt = tmp_path / "a.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Int16" band="{band}"><NoDataValue>{nodata}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">a.tif</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for band, nodata in ((1, 1), (2, 2))
    )
    vrt.write_text(f'<VRTDataset rasterXSize="2" rasterYSize="1">{bands}</VRTDataset>')
    assert describe(vrt).nodata == (1.0, 2.0)
    assert open_raster(vrt).valid_CHW.tolist() == [[[False, True]], [[True, False]]]


def test_bands_of_different_types_are_read_one_by_one(write_image, tmp_path):
    write_image("a.tif", np.array([[[1, 70_000]]], np.int32))
    write_image("b.tif", np.array([[[0.5, 2.5]]], np.float32))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">{name}'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for band, (name, kind) in enumerate((("a.tif", "Int32"), ("b.tif", "Float32")), start=1)
    )
    vrt = tmp_path / "mixed.vrt"
    vrt.write_text(f'<VRTDataset rasterXSize="2" rasterYSize="1">{bands}</VRTDataset>')
    assert describe(vrt).dtype == "int32, float32"
    assert open_raster(vrt).pixels_CHW.tolist() == [[[1, 70_000]], [[0.5, 2.5]]]


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_png_round_trips(tmp_path, numbers, mode):
    path = tmp_path / "photo.png"
    if mode == "I;16":
        stored = numbers("uint16", (6, 7))
        Image.fromarray(stored).save(path)
        expected = stored[None]
    else:
        stored = numbers("uint8", (6, 7, 3))[..., : len(mode)].squeeze()
        Image.fromarray(stored).save(path)
        expected = stored[None] if mode == "L" else np.moveaxis(stored, -1, 0)
    raster = open_raster(path)
    assert (raster.pixels_CHW == expected).all()
    assert raster.valid_CHW.all()
    assert raster.bands == (("red", "green", "blue") if mode == "RGB" else ("band_0",))
    assert raster.crs is None
    assert raster.transform is None


def test_16_bit_rgb_png_round_trips(write_image, numbers):
    stored = numbers("uint16", (3, 6, 7))
    assert (open_raster(write_image("deep.png", stored)).pixels_CHW == stored).all()


def test_alpha_hides_only_where_it_is_zero(tmp_path):
    rgba = np.full((1, 3, 4), 9, np.uint8)
    rgba[0, :, 3] = [0, 1, 255]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    info = describe(tmp_path / "a.png")
    raster = open_raster(tmp_path / "a.png")
    assert info.has_alpha
    assert info.bands == raster.bands == ("red", "green", "blue")
    assert raster.valid_CHW.tolist() == [[[False, True, True]]] * 3


def test_alpha_is_a_band_when_it_is_asked_for(write_image, numbers):
    stored = numbers("uint8", (4, 6, 7))  # GDAL takes the fourth of four 8-bit bands for alpha
    path = write_image("rgbn.tif", stored)
    raster = open_raster(path, bands=["red", "green", "blue", "alpha"])
    assert (raster.pixels_CHW == stored).all()
    assert raster.valid_CHW.all()


def test_a_fourth_8_bit_band_with_a_name_is_no_alpha(write_image, numbers):
    stored = numbers("uint8", (4, 6, 7))
    path = write_image("rgbn.tif", stored, lambda dataset: dataset.set_band_description(4, "nir"))
    assert describe(path).bands == ("red", "green", "blue", "nir")
    assert not describe(path).has_alpha
    raster = open_raster(path)
    assert (raster.pixels_CHW == stored).all()
    assert raster.valid_CHW.all()


def test_grey_with_alpha(tmp_path):
    Image.fromarray(np.array([[[7, 255], [8, 0]]], np.uint8), "LA").save(tmp_path / "la.png")
    raster = open_raster(tmp_path / "la.png")
    assert raster.pixels_CHW.tolist() == [[[7, 8]]]
    assert raster.valid_CHW.tolist() == [[[True, False]]]


def test_palette_gives_colours_and_its_index_when_named(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "p.png", transparency=1)
    raster = open_raster(tmp_path / "p.png")
    assert raster.pixels_CHW.tolist() == [[[10, 40, 70]], [[20, 50, 80]], [[30, 60, 90]]]
    assert raster.valid_CHW.tolist() == [[[True, False, True]]] * 3
    assert open_raster(tmp_path / "p.png", bands=["index"]).pixels_CHW.tolist() == [[[0, 1, 2]]]


def test_jpeg_is_what_pillow_sees(tmp_path, numbers):
    Image.fromarray(numbers("uint8", (16, 16, 3))).save(tmp_path / "a.jpg", quality=90, subsampling=0)
    with Image.open(tmp_path / "a.jpg") as picture:
        expected = np.asarray(picture, np.int16)
    found = open_raster(tmp_path / "a.jpg").pixels_CHW.transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 2  # two decoders may round the colour transform differently


def test_bands_by_name_by_position_and_in_another_order(write_image, numbers):
    stored = numbers("int16", (3, 6, 7))

    def name_bands(dataset):
        dataset.descriptions = ("B02", "B03", "B04")

    path = write_image("s2.tif", stored, name_bands)
    assert describe(path).bands == ("B02", "B03", "B04")
    assert (open_raster(path, bands=["B04", "B02"]).pixels_CHW == stored[[2, 0]]).all()
    assert (open_raster(path, bands=[2, 0]).pixels_CHW == stored[[2, 0]]).all()


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        (["B4"], "no band of .*s2.tif named 'B4'"),
        ([3], "has 3 bands, counted from 0; there is no band 3"),
        ([-1], "there is no band -1"),
        ([0, 0], "was asked for twice"),
        ([], "No band of"),
        ("band_0", "Give a list"),
    ],
)
def test_bands_that_are_not_there(write_image, numbers, bands, message):
    path = write_image("s2.tif", numbers("int16"))
    with pytest.raises((InputError, SettingsError), match=message):
        open_raster(path, bands=bands)


def test_a_description_that_stands_twice_names_nothing(write_image, numbers):
    def name_bands(dataset):
        dataset.descriptions = ("Gray", "Gray", "B04")

    assert describe(write_image("a.tif", numbers("int16"), name_bands)).bands == ("band_0", "band_1", "B04")


def test_scaling_and_units_are_reported_and_not_applied(write_image, numbers):
    def scale_bands(dataset):
        dataset.scales, dataset.offsets = (0.0001, 1.0, 2.0), (-0.1, 0.0, 0.0)
        dataset.units = ("reflectance", "", "K")

    stored = numbers("int16")
    path = write_image("a.tif", stored, scale_bands)
    info, raster = describe(path), open_raster(path)
    assert info.scaling == raster.scaling == ((0.0001, -0.1), None, (2.0, 0.0))
    assert info.units == ("reflectance", "", "K")
    assert (raster.pixels_CHW == stored).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_window_is_that_part_of_the_whole(write_image, numbers, data):
    path = write_image("scene.tif", numbers("uint16", (2, 48, 40)), tiled=True, blockxsize=16, blockysize=16, nodata=0)
    row, col = data.draw(st.integers(0, 47)), data.draw(st.integers(0, 39))
    height, width = data.draw(st.integers(1, 48 - row)), data.draw(st.integers(1, 40 - col))
    whole, part = open_raster(path), open_raster(path, window=(row, col, height, width))
    assert (part.pixels_CHW == whole.pixels_CHW[:, row : row + height, col : col + width]).all()
    assert (part.valid_CHW == whole.valid_CHW[:, row : row + height, col : col + width]).all()
    assert (part.transform.c, part.transform.f) == (500_000 + 10 * col, 4_600_000 - 10 * row)


@pytest.mark.parametrize("window", [(0, 0, 7, 1), (-1, 0, 2, 2), (0, 6, 1, 2), (0, 0, 0, 1)])
def test_a_window_outside_the_scene_is_refused(write_image, numbers, window):
    with pytest.raises(InputError, match=r"does not lie inside .*a\.tif, which has 6 x 7"):
        open_raster(write_image("a.tif", numbers("uint8")), window=window)


def test_a_window_of_a_huge_scene_touches_only_what_it_needs(tmp_path):
    path = tmp_path / "huge.tif"
    profile = {"driver": "GTiff", "count": 8, "height": 10_000, "width": 10_000, "dtype": "uint16", "transform": GRID}
    with rasterio.open(path, "w", **profile, tiled=True, blockxsize=256, blockysize=256, sparse_ok=True) as dataset:
        dataset.write(np.full((8, 256, 256), 7, np.uint16), window=((5120, 5376), (5120, 5376)))
    assert path.stat().st_size < 4_000_000  # sparse: the scene itself would be 1.6 GB
    before = resident_bytes()
    with peak_memory() as peak:
        raster = open_raster(path, window=(5200, 5200, 512, 512))
    grown = resident_bytes() - before
    window_bytes = 8 * 512 * 512 * 4
    assert raster.pixels_CHW[:, :176, :176].min() == 7
    assert raster.pixels_CHW[:, 176:, 176:].max() == 0
    assert peak() < 4 * window_bytes
    assert grown < 100_000_000  # GDAL's own memory is not Python's: blocks of 8 bands, not 1.6 GB


def test_colour_names_follow_the_file_not_the_position(write_image, numbers):
    def swap(dataset):
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]

    info = describe(write_image("bgr.tif", numbers("uint8"), swap))
    assert info.bands == ("blue", "green", "red")
    assert not info.has_names
