"""HDF5 and NetCDF: variables as bands, packing and fill values as the conventions say, places on Earth."""

import h5py
import numpy as np
import pytest
import xarray
from affine import Affine
from rasterio.crs import CRS

from sensam.data.readers import describe, open_raster
from sensam.errors import InputError, SettingsError
from sensam.sensors import Sensor, load_sensor

from .conftest import peak_memory


def write(path, variables, coords=None, engine="h5netcdf"):
    xarray.Dataset(variables, coords=coords or {}).to_netcdf(path, engine=engine)
    return path


@pytest.fixture
def ahi_file(tmp_path):
    """Two bands as JAXA's P-Tree stores them: packed 16-bit integers on a grid of latitude and longitude."""
    coords = {"latitude": [42.0, 41.0, 40.0], "longitude": [120.0, 121.0, 122.0, 123.0]}
    dims = ("latitude", "longitude")
    packed = np.arange(12, dtype=np.int16).reshape(3, 4) * 1000
    packed[0, 0] = -32768
    fog = {"scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-32768), "units": "K"}
    red = {"scale_factor": 0.0001, "add_offset": 0.0, "missing_value": np.int16(-32768)}
    variables = {"tbb_07": (dims, packed, fog), "albedo_03": (dims, packed, red), "Hour": ("time", [3.0])}
    return write(tmp_path / "ahi.nc", variables, coords), packed


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        *(("h5netcdf", dtype) for dtype in ("uint8", "int8", "uint16", "int16", "float32", "float64")),
        *(("scipy", dtype) for dtype in ("int8", "int16", "float32", "float64")),  # NetCDF 3 has no unsigned type
    ],
)
def test_every_number_comes_back(tmp_path, numbers, dtype, engine):
    stored = numbers("float32" if dtype == "float64" else dtype, (6, 7)).astype(dtype)
    path = write(tmp_path / "a.nc", {"sst": (("y", "x"), stored)}, engine=engine)
    raster = open_raster(path)
    assert (raster.pixels_CHW[0] == stored).all()
    assert raster.bands == ("sst",)
    assert (open_raster(path, window=(2, 3, 2, 4)).pixels_CHW[0] == stored[2:4, 3:7]).all()


def test_wide_integers_are_exact_or_refused(tmp_path):
    stored = np.array([[2**24, -(2**24)], [70_000, 1]], np.int32)
    assert (open_raster(write(tmp_path / "a.nc", {"a": (("y", "x"), stored)})).pixels_CHW[0] == stored).all()
    with pytest.raises(InputError, match=r"b\.nc holds int32 value 16777217"):
        open_raster(write(tmp_path / "b.nc", {"a": (("y", "x"), stored + (stored == 2**24))}))


@pytest.mark.parametrize("suffix", [".h5", ".nc"])
def test_a_window_of_a_huge_scene_touches_only_what_it_needs(tmp_path, suffix):
    path = tmp_path / f"huge{suffix}"
    with h5py.File(path, "w") as file:  # chunks that nobody wrote take no room: the scene itself would be 800 MB
        huge = file.create_dataset("x", (4, 10_000, 10_000), "uint16", chunks=(1, 256, 256), fillvalue=0)
        huge[:, 5120:5376, 5120:5376] = 7
    with peak_memory() as peak:
        raster = open_raster(path, axes="CHW", window=(5200, 5200, 512, 512))
    assert raster.pixels_CHW[:, :176, :176].min() == 7
    assert raster.pixels_CHW[:, 176:, 176:].max() == 0
    assert peak() < 6 * raster.pixels_CHW.nbytes


def test_packing_is_stated_and_the_sensor_undoes_it(ahi_file):
    path, packed = ahi_file
    info, raster = describe(path), open_raster(path)
    assert info.bands == ("tbb_07", "albedo_03")
    assert info.scaling == raster.scaling == ((0.01, 273.15), (0.0001, 0.0))
    assert info.units == ("K", "")
    assert info.nodata == (-32768, -32768)
    assert (raster.pixels_CHW[0] == packed).all()
    assert raster.valid_CHW[:, 0].tolist() == [[False, True, True, True]] * 2
    ahi = load_sensor("himawari-ahi").select(["B07", "B03"])
    physical = ahi.decode(raster.renamed(ahi.band_names))
    assert physical.pixels_CHW[0, 0].tolist() == pytest.approx([0, 283.15, 293.15, 303.15])
    assert physical.pixels_CHW[1, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_band_without_a_unit_does_not_guess(ahi_file):
    path, _ = ahi_file
    raster = open_raster(path, bands=["tbb_07"])
    plain = Sensor.from_dict({"name": "mine", "bands": ["tbb_07"]})
    with pytest.raises(InputError, match=r"stored x 0\.01 \+ 273\.15, but the sensor gives it no unit"):
        plain.decode(raster)
    stored = Sensor.from_dict({"name": "mine", "bands": [{"name": "tbb_07", "unit": "DN"}]})
    assert (stored.decode(raster).pixels_CHW[0, 0] == [0, 1000, 2000, 3000]).all()


def test_latitude_and_longitude_are_a_place(ahi_file):
    info = describe(ahi_file[0])
    assert info.crs == CRS.from_epsg(4326)
    assert info.transform == Affine(1, 0, 119.5, 0, -1, 42.5)
    assert open_raster(ahi_file[0], window=(1, 2, 1, 1)).transform == Affine(1, 0, 121.5, 0, -1, 41.5)


def test_a_grid_mapping_is_a_place(tmp_path):
    wkt = CRS.from_epsg(32633).to_wkt()
    variables = {
        "b": (("y", "x"), np.zeros((2, 3), np.float32), {"grid_mapping": "crs"}),
        "crs": ((), 0, {"crs_wkt": wkt}),
    }
    path = write(tmp_path / "utm.nc", variables, {"y": [25.0, 15.0], "x": [105.0, 115.0, 125.0]})
    info = describe(path, key="b")
    assert info.crs == CRS.from_epsg(32633)
    assert info.transform == Affine(10, 0, 100, 0, -10, 30)


def test_uneven_coordinates_are_no_grid(tmp_path):
    path = write(tmp_path / "a.nc", {"b": (("lat", "lon"), np.zeros((3, 3)))}, {"lat": [0.0, 1, 5], "lon": [0.0, 1, 2]})
    info = describe(path)
    assert info.transform is None
    assert info.crs is None


def test_dimensions_say_where_rows_and_bands_are(tmp_path, numbers):
    cube = numbers("int16", (5, 6, 4))
    dims, axis = ("x", "y", "wavelength"), {"wavelength": ("wavelength", [450.0, 550, 650, 850], {"units": "nm"})}
    path = write(tmp_path / "a.nc", {"cube": (dims, cube)}, axis)
    info = describe(path)
    assert info.size == (6, 5)
    assert info.wavelengths_nm == (450, 550, 650, 850)
    assert (open_raster(path).pixels_CHW == cube.transpose(2, 1, 0)).all()
    assert (open_raster(path, bands=[2], window=(1, 2, 3, 2)).pixels_CHW[0] == cube[2:4, 1:4, 2].T).all()


def test_names_along_the_band_dimension(tmp_path, numbers):
    cube = numbers("float32", (2, 6, 7))
    path = write(tmp_path / "a.nc", {"s1": (("band", "y", "x"), cube)}, {"band": ["VH", "VV"]})
    assert describe(path).bands == ("VH", "VV")
    assert (open_raster(path, bands=["VV"]).pixels_CHW[0] == cube[1]).all()


def test_a_time_of_one_step_is_dropped_and_of_two_refused(tmp_path, numbers):
    stored = numbers("float32", (2, 6, 7))
    one = write(tmp_path / "one.nc", {"b": (("time", "y", "x"), stored[:1])})
    assert (open_raster(one).pixels_CHW == stored[:1]).all()
    four = write(tmp_path / "two.nc", {"b": (("time", "level", "y", "x"), stored[None].repeat(2, 0))})
    with pytest.raises(InputError, match="holds no image"):
        open_raster(four)


def test_unsigned_integers_in_signed_clothes(tmp_path):
    attributes = {"_Unsigned": "true", "_FillValue": np.int16(-1)}
    path = write(tmp_path / "a.nc", {"b": (("y", "x"), np.array([[-1, -2], [3, 4]], np.int16), attributes)})
    raster = open_raster(path)
    assert describe(path).dtype == "uint16"
    assert raster.pixels_CHW[0, 1].tolist() == [3, 4]
    assert raster.pixels_CHW[0, 0, 1] == 65534
    assert raster.valid_CHW[0].tolist() == [[False, True], [True, True]]


def test_groups(tmp_path, numbers):
    stored = numbers("uint16", (6, 7))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["science/radiance/red"] = stored
        file["science/radiance/nir"] = stored + 1
    path = tmp_path / "a.h5"
    there = "It has science/radiance/nir, science/radiance/red: name one with key"
    with pytest.raises(InputError, match=f"holds no variable in its root. {there}"):
        describe(path)
    assert (open_raster(path, key="science/radiance/red").pixels_CHW[0] == stored).all()
    assert describe(path, key="science/radiance/").bands == ("nir", "red")
    with pytest.raises(SettingsError, match="Did you mean 'red'"):
        open_raster(path, key="science/radiance/rad")
    with pytest.raises(InputError, match=r"a\.h5 cannot be read"):
        describe(path, key="nowhere/red")
