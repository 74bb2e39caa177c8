"""Several files as one image: per-band files, instruments, and everything that must agree between them."""

import numpy as np
import pytest
from affine import Affine

from sensam.data.readers import describe, open_raster, read_image
from sensam.data.readers.stack import label_files
from sensam.errors import InputError
from sensam.radiometry import match
from sensam.sensors import Sensor, load_sensor

from .conftest import GRID


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["a/T32_B02.tif", "a/T32_B03.tif"], ["B02", "B03"]),
        (["LC08_L2SP_SR_B4.TIF", "LC08_L2SP_ST_B10.TIF"], ["SR_B4", "ST_B10"]),
        (["red.tif", "near_infrared.tif"], ["red", "near_infrared"]),
        (["a/x.tif", "b/x.tif"], ["a/x.tif", "b/x.tif"]),
        (["only.tif"], ["only"]),
    ],
)
def test_files_are_called_by_what_differs(paths, labels):
    assert label_files(paths) == labels


def test_bands_in_files_of_their_own(write_image, numbers):
    stored = numbers("uint16", (3, 6, 7))
    names = ("B03", "B02", "B08")
    paths = [write_image(f"T32_{name}.tif", plane[None]) for name, plane in zip(names, stored, strict=True)]
    info = describe(paths)
    assert info.bands == names
    assert info.transform == GRID
    assert info.dtypes == ("uint16",) * 3
    assert (open_raster(paths).pixels_CHW == stored).all()
    part = open_raster(paths, bands=["B08", "B03"], window=(1, 2, 3, 4))
    assert (part.pixels_CHW == stored[[2, 0], 1:4, 2:6]).all()
    assert (open_raster(paths, bands=[1]).pixels_CHW == stored[[1]]).all()


def test_names_in_the_files_win_over_names_of_the_files(write_image, numbers):
    def describe_as(name):
        return lambda dataset: dataset.set_band_description(1, name)

    plane = numbers("uint16", (1, 4, 4))
    paths = [write_image("x_1.tif", plane, describe_as("B02")), write_image("x_2.tif", plane, describe_as("B03"))]
    assert describe(paths).bands == ("B02", "B03")
    same = [write_image("x_B04.tif", plane, describe_as("Gray")), write_image("x_B05.tif", plane, describe_as("Gray"))]
    assert describe(same).bands == ("B04", "B05")


def test_nodata_stays_with_its_band(write_image):
    hole, whole = np.array([[[0, 5]]], np.uint16), np.array([[[0, 6]]], np.uint16)
    raster = open_raster([write_image("x_a.tif", hole, nodata=0), write_image("x_b.tif", whole)])
    assert raster.valid_CHW.tolist() == [[[False, True]], [[True, True]]]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"crs": "EPSG:32634"}, r"x_b\.tif is in EPSG:32634, .*x_a\.tif in EPSG:32633"),
        ({"transform": Affine(10, 0, 500_010, 0, -10, 4_600_000)}, r"x_b\.tif lies 10 map units beside .*x_a\.tif"),
        ({"transform": Affine(20, 0, 500_000, 0, -20, 4_600_000)}, r"x_b\.tif lies 70 map units beside"),
    ],
)
def test_another_grid_is_refused(write_image, numbers, other, message):
    plane = numbers("uint16", (1, 6, 7))
    paths = [write_image("x_a.tif", plane), write_image("x_b.tif", plane, **other)]
    with pytest.raises(InputError, match=message):
        describe(paths)


def test_another_size_is_refused_with_the_way_out(write_image, numbers):
    paths = [write_image("x_a.tif", numbers("uint8", (1, 6, 7))), write_image("x_b.tif", numbers("uint8", (1, 3, 7)))]
    with pytest.raises(InputError, match=r"x_b\.tif has 3 x 7 pixels, .*x_a\.tif has 6 x 7. .*gdalbuildvrt -separate"):
        open_raster(paths)


def test_a_difference_below_a_hundredth_of_a_pixel_is_none(write_image, numbers):
    plane = numbers("uint16", (1, 6, 7))
    near = Affine(10, 0, 500_000.01, 0, -10, 4_600_000)
    assert len(describe([write_image("x_a.tif", plane), write_image("x_b.tif", plane, transform=near)]).bands) == 2


def test_a_file_given_twice_is_refused(write_image, numbers):
    path = write_image("a.tif", numbers("uint8"))
    with pytest.raises(InputError, match=r"a\.tif is given twice"):
        open_raster([path, path])
    with pytest.raises(InputError, match="No file was given"):
        open_raster([])


def test_instruments_are_one_image(write_image, numbers, tmp_path):
    rgb, depth = numbers("uint8", (3, 6, 7)), np.abs(numbers("float32", (6, 7)))
    np.save(tmp_path / "depth.npy", depth)
    source = {"rgb": write_image("left.png", rgb), "depth": tmp_path / "depth.npy"}
    info = describe(source)
    assert info.bands == ("red", "green", "blue", "depth")
    assert info.dtypes == ("uint8",) * 3 + ("float32",)
    sensor = load_sensor("rgb-depth")
    raster = read_image(source, sensor, match(sensor, info), window=(1, 1, 4, 5))
    assert (raster.pixels_CHW[:3] == rgb[:, 1:5, 1:6]).all()
    assert (raster.pixels_CHW[3] == depth[1:5, 1:6]).all()
    assert raster.is_decoded


def test_what_is_said_of_arrays_does_not_concern_pictures(write_image, numbers, tmp_path):
    cube = numbers("float32", (6, 7, 5))
    np.savez(tmp_path / "heat.npz", cube=cube, labels=cube[..., 0])
    source = {"rgb": write_image("left.png", numbers("uint8")), "heat": tmp_path / "heat.npz"}
    info = describe(source, key="cube", axes="HWC")
    assert info.bands == ("red", "green", "blue", *(f"heat.band_{position}" for position in range(5)))
    raster = open_raster(source, bands=["heat.band_3"], key="cube", axes="HWC")
    assert (raster.pixels_CHW[0] == cube[..., 3]).all()


def test_instruments_with_the_same_names_keep_theirs(write_image, numbers):
    source = {angle: write_image(f"{angle}.png", numbers("uint8")) for angle in ("0", "45")}
    assert describe(source).bands == ("0.red", "0.green", "0.blue", "45.red", "45.green", "45.blue")


def test_an_instrument_may_itself_be_several_files(write_image, numbers):
    plane = numbers("uint16", (1, 6, 7))
    optical = [write_image("s2_B02.tif", plane), write_image("s2_B03.tif", plane)]
    source = {"optical": optical, "radar": write_image("s1.tif", numbers("float32", (2, 6, 7)))}
    assert describe(source).bands == ("B02", "B03", "radar.band_0", "radar.band_1")
    assert open_raster(source, bands=["radar.band_1", "B03"]).size == (6, 7)


def test_instruments_of_different_sizes_are_refused(write_image, numbers):
    source = {"rgb": write_image("a.png", numbers("uint8")), "depth": write_image("b.png", numbers("uint8", (1, 5, 7)))}
    with pytest.raises(InputError, match=r"b\.png has 5 x 7 pixels, .*a\.png has 6 x 7"):
        open_raster(source)


def test_swapped_files_are_put_right_by_their_names(write_image, numbers):
    stored = numbers("uint16", (2, 6, 7))
    paths = [write_image(f"T_{name}.tif", plane[None]) for name, plane in zip(("B03", "B02"), stored, strict=True)]
    sensor = Sensor.from_dict({"name": "two", "bands": [{"name": "B02"}, {"name": "B03"}]})
    assert (read_image(paths, sensor, match(sensor, describe(paths))).pixels_CHW == stored[::-1]).all()
