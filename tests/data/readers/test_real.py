"""The readers on real files of eight kinds of sensor, against what their publishers' notes say."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sensam.data.readers import describe, open_raster, read_image
from sensam.errors import InputError
from sensam.radiometry import match
from sensam.sensors import Sensor, load_sensor

DATA = Path(os.environ.get("SENSAM_REAL_DATA", Path(__file__).parents[3] / "../shared/data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not here")


def notes(name):
    return json.loads((DATA / name / "meta.json").read_text())


def images(pattern):
    found = sorted(DATA.glob(pattern))
    assert found
    return found


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "pattern",
    [
        "water12_hls/train/images/*.tif",
        "s1_flood_sen1floods11/images_s1/*.tif",
        "crop_weed_nir2/images/*.tif",
        "sar_gaofen3_quadpol/unlabelled/*.tif",
        "mri3_lgg/val/images/*.png",
        "pano_pass_street/unlabelled/*.png",
        "rgb_bsds500/val/images/*.jpg",
    ],
)
def test_every_stored_number_comes_back(pattern):
    for path in images(pattern)[:3]:
        with rasterio.open(path) as dataset:
            stored = dataset.read()
        raster = open_raster(path)
        assert np.array_equal(raster.pixels_CHW, stored.astype(np.float32), equal_nan=True)
        assert (raster.valid_CHW == np.isfinite(stored)).all()
        assert describe(path).size == stored.shape[1:]


def test_radar_with_holes():
    by_id = {sample["id"]: sample for sample in notes("s1_flood_sen1floods11")["samples"]}
    sensor = load_sensor("sentinel1-db")
    for path in images("s1_flood_sen1floods11/images_s1/*.tif"):
        raster = read_image(path, sensor, match(sensor, describe(path)))
        assert 1 - raster.valid_HW.mean() == pytest.approx(by_id[path.stem]["nan"], abs=1e-5)
        assert np.isfinite(raster.pixels_CHW).all()
        vertical, cross = raster.pixels_CHW[:, raster.valid_HW].mean(axis=1)
        assert -40 < cross < vertical < 5  # cross polarization is the weaker echo, both in decibel


def test_quad_polarization_has_the_published_means():
    sensor = load_sensor("sar-quadpol")
    by_id = {sample["id"]: sample["mean"] for sample in notes("sar_gaofen3_quadpol")["samples"]}
    for path in images("sar_gaofen3_quadpol/unlabelled/*.tif"):
        means = read_image(path, sensor, match(sensor, describe(path))).pixels_CHW.mean(axis=(1, 2))
        assert means == pytest.approx(by_id[path.stem], abs=0.06)


def test_twelve_bands_are_no_sentinel2():
    """Seven reflectances and five maps: as many bands as Sentinel-2 L2A, so only a statement tells them apart."""
    path = images("water12_hls/train/images/*.tif")[0]
    assert match(load_sensor("sentinel2-l2a"), describe(path)).how == "count"
    bands = [{"name": entry["name"], "scale": 1e-4, "unit": "reflectance"} for entry in notes("water12_hls")["bands"]]
    sensor = Sensor.from_dict({"name": "hls", "bands": bands}).select(["nir", "red", "green"])
    names = [entry["name"] for entry in notes("water12_hls")["bands"]]
    with pytest.raises(InputError, match=r"has 12 bands, hls has 3"):
        match(sensor, describe(path))
    raster = read_image(path, sensor, match(sensor, describe(path), names=names))
    assert (raster.pixels_CHW == open_raster(path, bands=[4, 3, 2]).pixels_CHW * np.float32(1e-4)).all()


@pytest.mark.parametrize("scene", ["samson", "moffett"])
def test_hyperspectral_cubes_need_their_axes_said(scene):
    path = DATA / "hsi_unmixing_scenes" / f"{scene}.npz"
    height, width, count = notes("hsi_unmixing_scenes")["scenes"][scene]["shape"]
    with pytest.raises(InputError, match="Say which one is the image, with key"):
        describe(path)
    with pytest.raises(InputError, match="Say where its bands are"):
        describe(path, key="cube")
    sensor = load_sensor(f"hyperspectral-{count}")
    found = match(sensor, describe(path, key="cube", axes="HWC"))
    raster = read_image(path, sensor, found, key="cube", axes="HWC")
    assert raster.pixels_CHW.shape == (count, height, width)
    with np.load(path) as archive:
        assert (raster.pixels_CHW[7] == archive["cube"][..., 7].astype(np.float32)).all()


def test_photographs_and_a_panorama_are_rgb():
    for path in (*images("rgb_bsds500/train/images/*.jpg")[:2], *images("pano_pass_street/unlabelled/*.png")):
        sensor = load_sensor("rgb")
        normalised = sensor.normalise(read_image(path, sensor, match(sensor, describe(path))))
        assert normalised.shape == (3, *describe(path).size)
        assert np.abs(normalised).max() < 3
