"""A class map depends on the ground alone: not on a hot pixel, a strip without data, the stored type, other bands."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sensam.errors import InputError
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.voting import Vote
from tests.infer.mapmaking import BANDS, direct, ground, read, segmenter, write_scene


def mapped(folder: Path, pixels: NDArray[Any], names: tuple[str, ...] | None = BANDS, **profile: Any) -> NDArray[Any]:
    """The classes that `predict` writes for a scene, by tiles of 32."""
    model = segmenter()
    scene = write_scene(folder / "scene.tif", pixels, names, **profile)
    target = Target.of(str(scene), folder / "out", alone=True)
    job = SceneJob(model, model.fingerprint, str(scene), target, MapSettings(batch=2))
    return read(job.complete(job.run(Vote([model], device="cpu")))[0])[0]


@pytest.fixture
def pixels() -> NDArray[np.uint16]:
    return ground(70, 90)


@pytest.fixture
def usual(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    found = direct(segmenter(), pixels).argmax(0)
    assert len(np.unique(found)) > 2
    return found


def test_one_hot_pixel_changes_itself_at_most(
    tmp_path: Path, pixels: NDArray[np.uint16], usual: NDArray[np.int64]
) -> None:
    pixels[1, 40, 50] = 65_535
    changed = mapped(tmp_path, pixels) != usual
    changed[40, 50] = False
    assert not changed.any()


def test_a_strip_of_fill_values_is_no_class_and_changes_nothing(
    tmp_path: Path, pixels: NDArray[np.uint16], usual: NDArray[np.int64]
) -> None:
    stored = pixels.astype(np.int16)
    stored[:, :, 30:37] = usual[:, 30:37] = -9999
    expected = np.where(usual == -9999, 255, usual)
    assert np.array_equal(mapped(tmp_path, stored, nodata=-9999), expected)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32"])
def test_the_same_numbers_in_another_type_are_the_same_map(
    tmp_path: Path, pixels: NDArray[np.uint16], usual: NDArray[np.int64], dtype: str
) -> None:
    assert np.array_equal(mapped(tmp_path, pixels.astype(dtype)), usual)


def test_eight_bands_in_any_order_are_found_by_their_names_or_refused(
    tmp_path: Path, pixels: NDArray[np.uint16], usual: NDArray[np.int64]
) -> None:
    others = ground(70, 90, bands=5, seed=9)
    blue, green, red = pixels
    eight = np.stack([others[0], red, others[1], green, *others[2:4], blue, others[4]])
    names = ("B08", "B04", "B05", "B03", "B06", "B07", "B02", "B11")
    assert np.array_equal(mapped(tmp_path / "named", eight, names), usual)
    with pytest.raises(InputError, match=r"has 8 bands, toy has 3.*--bands"):
        mapped(tmp_path / "nameless", eight, None)
    with pytest.raises(InputError, match=r"heat"):
        mapped(tmp_path / "strange", pixels, ("heat", "rain", "wind"))
    for folder in ("nameless", "strange"):
        assert not list((tmp_path / folder).glob("out/*"))
