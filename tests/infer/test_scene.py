"""A scene's pixels and their validity, window by window."""

from pathlib import Path

import numpy as np
import pytest

from sensam.data.raster import Window
from sensam.infer.scene import Scene
from tests.infer.mapmaking import BANDS, ground, sensor, write_scene


@pytest.mark.parametrize("window", [(0, 0, 20, 30), (-5, 10, 20, 30), (30, 50, 20, 30), (10, -8, 20, 30)])
@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("lacks", [False, True])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])  # read as it lies, and with care
def test_tiles_are_the_same_in_memory_that_was_used_before(
    tmp_path: Path, window: Window, wraps: bool, lacks: bool, dtype: type
) -> None:
    kept = BANDS[:-1] if lacks else BANDS
    path = write_scene(tmp_path / "a.tif", ground(40, 60, bands=len(kept)).astype(dtype), kept)
    scene = Scene(str(path), sensor(), may_lack_bands=lacks)
    fresh_CHW, valid_HW = scene.read(window, wraps=wraps)
    used_CHW = np.full(fresh_CHW.shape, np.nan, np.float32)
    found_CHW, found_HW = scene.read(window, wraps=wraps, out=used_CHW)
    assert found_CHW is used_CHW
    assert np.array_equal(found_CHW, fresh_CHW)
    assert np.array_equal(found_HW, valid_HW)
    other = (5, 5, 20, 30)
    assert not np.array_equal(scene.read(other, wraps=wraps)[0], fresh_CHW)
    assert np.array_equal(scene.read(window, wraps=wraps)[0], fresh_CHW)
