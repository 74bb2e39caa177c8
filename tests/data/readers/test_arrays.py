"""NPY, NPZ and MATLAB: exact numbers, and no silent guess about which array or which axis."""

import h5py
import numpy as np
import pytest
import scipy.io

from sensam.data.readers import describe, open_raster
from sensam.errors import InputError, SettingsError

from .conftest import ARRAY_FILES, peak_memory, save_array


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat"])
def test_every_number_comes_back(tmp_path, numbers, suffix, dtype):
    stored = numbers(dtype, (16, 20, 4))
    path = tmp_path / f"cube{suffix}"
    if suffix == ".npy":
        np.save(path, stored)
    elif suffix == ".npz":
        np.savez_compressed(path, x=stored)
    else:
        scipy.io.savemat(path, {"x": stored})
    raster, info = open_raster(path), describe(path)
    assert (raster.pixels_CHW == np.moveaxis(stored, -1, 0)).all()
    assert (info.size, info.dtype, info.bands) == ((16, 20), dtype, ("band_0", "band_1", "band_2", "band_3"))
    assert not info.has_names
    part = open_raster(path, bands=[3, 1], window=(2, 5, 3, 4))
    assert (part.pixels_CHW == np.moveaxis(stored, -1, 0)[[3, 1], 2:5, 5:9]).all()


@pytest.mark.parametrize("suffix", ARRAY_FILES)
def test_complex_keeps_both_parts(tmp_path, numbers, suffix):
    stored = numbers("complex64", (9, 8))
    path = tmp_path / f"slc{suffix}"
    save_array(path, "vv", stored)
    raster = open_raster(path)
    assert [band.rpartition(".")[2] for band in raster.bands] == ["real", "imag"]
    assert (raster.pixels_CHW[0] + 1j * raster.pixels_CHW[1] == stored).all()


@pytest.mark.parametrize(
    ("shape", "axes", "bands"),
    [
        ((4, 16, 20), None, 4),
        ((16, 20, 4), None, 4),
        ((1, 8, 9), None, 1),
        ((16, 64, 64), None, 16),
        ((6, 7), None, 1),
        ((6, 7), "HW", 1),
        ((6, 7, 8), "HWC", 8),
        ((6, 7, 8), "CHW", 6),
    ],
)
def test_where_the_bands_are(tmp_path, shape, axes, bands):
    np.save(tmp_path / "a.npy", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    assert len(open_raster(tmp_path / "a.npy", axes=axes).bands) == bands


@pytest.mark.parametrize("shape", [(95, 95, 156), (50, 50, 184), (100, 80, 162), (13, 32, 32), (3, 3, 3)])
def test_an_unclear_band_axis_is_asked_for(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=r"has shape .*\. Say where its bands are: axes HWC \(last\) or CHW \(first\)"):
        describe(tmp_path / "a.npy")


@pytest.mark.parametrize(("shape", "axes"), [((6, 7), "HWC"), ((6, 7, 8), "HW")])
def test_axes_that_the_array_does_not_have(tmp_path, shape, axes):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(SettingsError, match=f"which is not {axes}"):
        open_raster(tmp_path / "a.npy", axes=axes)


def test_no_image_has_one_axis_or_four(tmp_path):
    np.save(tmp_path / "line.npy", np.zeros(9))
    with pytest.raises(InputError, match="holds no image"):
        open_raster(tmp_path / "line.npy")
    np.savez(tmp_path / "four.npz", x=np.zeros((2, 3, 4, 5)))
    with pytest.raises(InputError, match=r"x in .* has shape 2 x 3 x 4 x 5\. An image has rows and columns"):
        open_raster(tmp_path / "four.npz", key="x")


def test_several_arrays_need_a_key(tmp_path, numbers):
    cube, labels = numbers("float32", (16, 20, 3)), numbers("uint8", (16, 20))
    np.savez(tmp_path / "scene.npz", cube=cube, labels=labels, endmembers=np.zeros((3, 5)), wavelengths=np.zeros(3))
    held = r"cube \(16 x 20 x 3\), labels \(16 x 20\), endmembers \(3 x 5\)"
    with pytest.raises(InputError, match=f"holds {held}. Say which one is the image, with key"):
        open_raster(tmp_path / "scene.npz")
    assert (open_raster(tmp_path / "scene.npz", key="cube").pixels_CHW == np.moveaxis(cube, -1, 0)).all()
    assert (open_raster(tmp_path / "scene.npz", bands=["labels"]).pixels_CHW[0] == labels).all()
    with pytest.raises(SettingsError, match="Did you mean 'cube'"):
        open_raster(tmp_path / "scene.npz", key="cubes")


def test_planes_of_one_size_are_bands_by_their_names(tmp_path, numbers):
    planes = {name: numbers("int16", (8, 9)) + place for place, name in enumerate(("B02", "B03"))}
    scipy.io.savemat(tmp_path / "a.mat", {**planes, "note": "text", "info": {"a": 1}})
    info = describe(tmp_path / "a.mat")
    assert info.bands == ("B02", "B03")
    assert info.has_names
    assert (open_raster(tmp_path / "a.mat", bands=["B03"]).pixels_CHW[0] == planes["B03"]).all()


def test_matlab_7_3_has_its_axes_as_matlab_shows_them(tmp_path, numbers):
    slc = numbers("complex64", (16, 20)).astype(np.complex128)
    cubes = {dtype: numbers(dtype, (16, 20, 4)) for dtype in ("uint8", "uint16", "int16", "float32")}
    pair = np.dtype([("real", "f8"), ("imag", "f8")])
    with h5py.File(tmp_path / "v73.mat", "w", userblock_size=512) as file:
        for name, cube in cubes.items():
            file[name] = cube.transpose()
        file["slc"] = np.ascontiguousarray(slc.transpose()).view(pair)
    for name, cube in cubes.items():
        raster = open_raster(tmp_path / "v73.mat", key=name, window=(3, 2, 5, 6))
        assert (raster.pixels_CHW == np.moveaxis(cube, -1, 0)[:, 3:8, 2:8]).all()
    both = open_raster(tmp_path / "v73.mat", key="slc")
    assert (both.pixels_CHW == np.stack([slc.real, slc.imag]).astype(np.float32)).all()


def test_nan_is_not_valid(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, np.nan], [np.inf, 2]]))
    assert open_raster(tmp_path / "a.npy").valid_CHW.tolist() == [[[True, False], [False, True]]]


def test_a_window_of_a_mapped_array_loads_no_more(tmp_path):
    path = tmp_path / "big.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(4, 8000, 8000)).flush()
    with path.open("rb") as file:
        assert file.seek(0, 2) > 1e9
    with peak_memory() as peak:
        raster = open_raster(path, window=(4000, 4000, 16, 16))
    assert raster.pixels_CHW.shape == (4, 16, 16)
    assert peak() < 1_000_000


def test_key_and_axes_belong_to_arrays(write_image, numbers):
    path = write_image("a.tif", numbers("uint8"))
    for options in ({"key": "x"}, {"axes": "HWC"}):
        with pytest.raises(SettingsError, match="leave out key and axes"):
            open_raster(path, **options)
