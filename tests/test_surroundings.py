"""The same ground gives the same numbers, whatever else is in the image, in the tile or in the file."""

import re

import numpy as np
import pytest
import rasterio
from affine import Affine

from sensam.data.readers import describe, open_raster, read_image
from sensam.errors import InputError, SensamError
from sensam.radiometry import match
from sensam.sensors import Sensor, load_sensor


class TestNothingIsRescaledByItsSurroundings:
    sensor = (
        load_sensor("sentinel2-l2a")
        .select(["B02", "B03", "B04", "B08"])
        .with_statistics([0.1, 0.12, 0.15, 0.3], [0.05, 0.06, 0.07, 0.1])
    )

    @pytest.fixture
    def write(self, tmp_path):
        def write(stored, names=("B02", "B03", "B04", "B08"), nodata=None, name="scene.tif"):
            path = tmp_path / name
            count, height, width = stored.shape
            options = {"count": count, "height": height, "width": width, "dtype": stored.dtype, "nodata": nodata}
            with rasterio.open(path, "w", driver="GTiff", transform=Affine(10, 0, 0, 0, -10, 0), **options) as dataset:
                dataset.write(stored)
                dataset.descriptions = names
            return path

        return write

    @pytest.fixture
    def stored(self):
        return np.random.default_rng(5).integers(1, 4000, (4, 24, 32)).astype(np.int16)

    def feed(self, path, window=None):
        return self.sensor.normalise(read_image(path, self.sensor, match(self.sensor, describe(path)), window=window))

    def test_one_hot_pixel(self, write, stored):
        before = self.feed(write(stored))
        stored[1, 5, 6] = 32_767
        after = self.feed(write(stored))
        changed = before != after
        assert changed.sum() == 1
        assert changed[1, 5, 6]

    @pytest.mark.parametrize("declared", [True, False])
    def test_a_strip_without_data(self, write, stored, declared):
        before = self.feed(write(stored))
        stored[:, :, 10:14] = -9999
        path = write(stored, nodata=-9999 if declared else None)
        after = self.feed(path)
        assert (after[:, :, 10:14] == 0).all()
        assert np.array_equal(np.delete(before, range(10, 14), 2), np.delete(after, range(10, 14), 2))
        valid = read_image(path, self.sensor, match(self.sensor, describe(path))).valid_HW
        assert valid.sum() == 24 * 28

    def test_swapped_bands_are_put_right_by_their_names(self, write, stored):
        before = self.feed(write(stored))
        after = self.feed(write(stored[[3, 1, 0, 2]], names=("B08", "B03", "B02", "B04")))
        assert np.array_equal(before, after)

    def test_more_bands_than_needed(self, write, stored):
        before = self.feed(write(stored))
        extra = np.concatenate([stored[:2] + 1, stored, stored[:2] - 1])
        names = ("B05", "B06", "B02", "B03", "B04", "B08", "B11", "SCL")
        assert np.array_equal(before, self.feed(write(extra, names=names)))

    def test_the_same_numbers_in_another_type(self, write, stored):
        before = self.feed(write(stored))
        for dtype in (np.uint16, np.int32, np.float32, np.float64):
            assert np.array_equal(before, self.feed(write(stored.astype(dtype))))

    def test_8_bits_where_16_were_learnt_are_no_match_for_a_sensor_that_says_so(self, write, stored):
        strict = Sensor.from_dict(
            {
                **self.sensor.to_dict(),
                "every_band": {},
                "bands": [{**band.model_dump(), "dtype": "uint16"} for band in self.sensor.bands],
            }
        )
        with pytest.raises(InputError, match="stores B02 as uint8, sentinel2-l2a takes uint16"):
            match(strict, describe(write((stored // 16).astype(np.uint8))))

    def test_a_tile_is_its_part_of_the_whole_bit_for_bit(self, write, stored):
        path = write(stored, nodata=1234)
        whole = self.feed(path)
        for row in range(0, 24, 7):
            for col in range(0, 32, 9):
                height, width = min(7, 24 - row), min(9, 32 - col)
                tile = self.feed(path, (row, col, height, width))
                assert tile.tobytes() == whole[:, row : row + height, col : col + width].tobytes()

    def test_refusals_are_of_one_kind(self, write, stored):
        for names in (("B02", "B03", "B04", "B05"), ("a", "b", "c", "d")):
            with pytest.raises(SensamError) as caught:
                match(self.sensor, describe(write(stored, names=names)))
            assert re.match(r".*scene\.tif", str(caught.value))
        raster = open_raster(write(stored))
        with pytest.raises(InputError, match="Match the file to the sensor first"):
            self.sensor.select(["B04", "B03", "B02", "B08"]).decode(raster)
