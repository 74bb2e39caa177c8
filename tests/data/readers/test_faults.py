"""Broken files: one line that names the file, never a traceback, never silent zeros."""

import gzip
import io
import subprocess
import sys

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from PIL import Image

from sensam.data.readers import describe, open_raster
from sensam.errors import InputError


def make_bytes(suffix: str) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    if suffix in (".png", ".jpg", ".tif"):
        kind = {".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF"}[suffix]
        Image.fromarray(pixels).save(file, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    elif suffix == ".npy":
        np.save(file, pixels)
    elif suffix == ".npz":
        np.savez_compressed(file, x=pixels)
    elif suffix == ".mat":
        scipy.io.savemat(file, {"x": pixels}, do_compression=True)
    else:
        with h5py.File(file, "w") as container:
            container.create_dataset("x", data=pixels, chunks=(16, 16, 3), compression="gzip")
    return file.getvalue()


SUFFIXES = [".png", ".jpg", ".tif", ".npy", ".npz", ".mat", ".h5", ".nc"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_file_that_was_cut_short(tmp_path, suffix, share):
    content = make_bytes(suffix)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=rf"cut\{suffix}") as caught:
        open_raster(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_file_whole(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    path.write_bytes(make_bytes(suffix))
    assert open_raster(path).size == (64, 64)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(gzip.compress(b"not an image" * 500))
    with pytest.raises(InputError, match=rf"other\{suffix} cannot be read"):
        describe(path)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".hdr"])
def test_a_file_that_is_not_there(tmp_path, suffix):
    with pytest.raises(InputError, match=rf"nowhere\{suffix}"):
        describe(tmp_path / f"nowhere{suffix}")


def test_a_flipped_byte_in_compressed_pixels(tmp_path):
    for suffix in (".npz", ".h5"):
        content = bytearray(make_bytes(suffix))
        content[len(content) // 2] ^= 0xFF
        path = tmp_path / f"flipped{suffix}"
        path.write_bytes(bytes(content))
        with pytest.raises(InputError, match="flipped"):
            open_raster(path)


@pytest.mark.parametrize("bigtiff", ["NO", "YES"])
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
def test_no_cut_through_a_tiff_loses_pixels_or_masks_unseen(write_image, tmp_path, bigtiff, endianness):
    pixels = np.random.default_rng(0).integers(1, 255, (2, 16, 16), dtype=np.uint8)
    mask = np.tile(np.array([255, 0], np.uint8), (16, 8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_image("a.tif", pixels, lambda d: d.write_mask(mask), BIGTIFF=bigtiff, ENDIANNESS=endianness)
    whole, content = open_raster(path), path.read_bytes()
    assert (whole.valid_CHW == (mask > 0)).all()
    refused = 0
    for length in range(0, len(content), 37):
        (tmp_path / "cut.tif").write_bytes(content[:length])
        try:
            part = open_raster(tmp_path / "cut.tif")
        except InputError:
            refused += 1
        else:
            assert np.array_equal(part.pixels_CHW, whole.pixels_CHW)
            assert np.array_equal(part.valid_CHW, whole.valid_CHW)
    assert refused > 0.9 * len(content) / 37


@pytest.mark.slow
def test_pictures_do_not_wait_for_the_readers_of_arrays():
    code = "import sys, sensam.data.readers; print({'xarray', 'pandas', 'scipy.io', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"evil\.npy cannot be read"):
        open_raster(tmp_path / "evil.npy")


def test_bytes_after_the_end_of_a_png_do_no_harm(tmp_path):
    path = tmp_path / "tail.png"
    path.write_bytes(make_bytes(".png") + b"appended by a camera")
    assert open_raster(path).size == (64, 64)
