"""What a sensor's numbers go through must not change what is found: masks, not only pixels, stay the same."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray

from sensam.data.readers import describe, read_image
from sensam.errors import InputError
from sensam.infer.promptable import Prediction, Predictor
from sensam.radiometry import match
from sensam.sam.model import Sam
from sensam.sensors import Band, Sensor
from tests.infer.conftest import enliven, tiny_anatomy

BANDS = 8
NAMES = tuple(f"B{number}" for number in range(1, BANDS + 1))
CLICKS = [[[20.0, 30.0]], [[50.0, 12.0]], [[5.0, 60.0]]]


def sensor_of(scale: float = 1.0, nodata: float | None = None, top: float | None = None) -> Sensor:
    """Eight bands whose statistics are those of the scene below, in physical units."""
    bands = (
        Band(
            name=name,
            unit="reflectance",
            scale=scale,
            nodata=nodata,
            valid_range=None if top is None else (0.0, top),
            mean=0.4,
            std=0.2,
        )
        for name in NAMES
    )
    return Sensor(name="eight", bands=tuple(bands))


@pytest.fixture(scope="module")
def predictor_sam() -> Sam:
    sam = Sam(tiny_anatomy(BANDS)).eval()
    enliven(sam)
    return sam


@pytest.fixture(scope="module")
def stored() -> NDArray[np.uint8]:
    """A scene of 64 x 72 pixels, 8 bands, in whole hundredths."""
    dice = np.random.default_rng(0)
    rough = dice.integers(5, 80, (BANDS, 8, 9)).repeat(8, 1).repeat(8, 2)
    return np.asarray(rough + dice.integers(0, 5, rough.shape), np.uint8)


def write(path: Path, planes: NDArray[np.generic], names: tuple[str, ...] = NAMES, scale: float = 0.01) -> Path:
    count, height, width = planes.shape
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5000000)}
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=planes.dtype, **place) as file:
        file.write(planes)
        file.descriptions = names
        file.scales = [scale] * count
    return path


def find(sam: Sam, sensor: Sensor, path: Path) -> Prediction:
    raster = read_image(path, sensor, match(sensor, describe(path)))
    predictor = Predictor(sam, sensor)
    predictor.set_image(raster)
    return predictor.predict(CLICKS)


def same(one: Prediction, two: Prediction) -> None:
    torch.testing.assert_close(one.low_res_logits_NMhw, two.low_res_logits_NMhw, rtol=0, atol=1e-4)
    assert (one.masks_NMHW != two.masks_NMHW).float().mean() < 1e-3
    assert one.masks_NMHW.any()
    assert not one.masks_NMHW.all()


def test_sixteen_bits_find_what_eight_bits_find(tmp_path: Path, stored: NDArray[np.uint8], predictor_sam: Sam) -> None:
    eight = find(predictor_sam, sensor_of(0.01), write(tmp_path / "8.tif", stored))
    wide = write(tmp_path / "16.tif", stored.astype(np.uint16) * 100, scale=0.0001)
    same(eight, find(predictor_sam, sensor_of(0.0001), wide))


def test_swapped_bands_are_put_right_by_name(tmp_path: Path, stored: NDArray[np.uint8], predictor_sam: Sam) -> None:
    order = [3, 0, 7, 1, 2, 6, 5, 4]
    plain = find(predictor_sam, sensor_of(0.01), write(tmp_path / "plain.tif", stored))
    swapped = write(tmp_path / "swapped.tif", stored[order], tuple(NAMES[band] for band in order))
    same(plain, find(predictor_sam, sensor_of(0.01), swapped))


def test_strange_bands_are_refused(tmp_path: Path, stored: NDArray[np.uint8], predictor_sam: Sam) -> None:
    strange = write(tmp_path / "strange.tif", stored[:4], ("heat", "rain", "wind", "fog"))
    with pytest.raises(InputError, match=r"strange.tif has 4 bands, eight has 8.*--bands"):
        find(predictor_sam, sensor_of(0.01), strange)


@pytest.mark.parametrize("filler", [-9999, -32768])
def test_a_strip_without_data_holds_no_mask_and_its_filler_changes_nothing(
    tmp_path: Path, stored: NDArray[np.uint8], predictor_sam: Sam, filler: int
) -> None:
    planes = stored.astype(np.int16)
    planes[:, :, :9] = filler
    found = find(predictor_sam, sensor_of(0.01, nodata=filler), write(tmp_path / "strip.tif", planes))
    assert not found.masks_NMHW[..., :9].any()
    planes[:, :, :9] = 32767
    other = find(predictor_sam, sensor_of(0.01, nodata=32767), write(tmp_path / "other.tif", planes))
    same(found, other)


def test_one_hot_pixel_is_no_data_and_how_hot_it_is_changes_nothing(
    tmp_path: Path, stored: NDArray[np.uint8], predictor_sam: Sam
) -> None:
    """A tool that stretches by the image's own maximum would darken everything else."""
    found = []
    for heat in (150, 30000):
        planes = stored.astype(np.uint16)
        planes[2, 40, 40] = heat
        found.append(find(predictor_sam, sensor_of(0.01, top=1.0), write(tmp_path / f"{heat}.tif", planes)))
        assert not found[-1].masks_NMHW[..., 40, 40].any()
    same(*found)
