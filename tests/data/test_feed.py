"""The fast path gives what the careful path gives: the same numbers, the same validity, for every kind of file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensam.data.acceptance import Acceptance, accepted_integers
from sensam.data.dataset import Dataset
from sensam.data.feed import Feed
from sensam.data.layout import parse_spec
from sensam.data.native import kept_open, plain_planes
from sensam.errors import InputError
from sensam.sensors import Band

Save = Callable[..., Path]


def dataset(root: Path, pattern: str, bands: int, **band: Any) -> Dataset:
    every = {"mean": 3.0, "std": 2.0, "unit": "DN"} | band
    sensor = {"name": "s", "every_band": every, "bands": [f"x{number}" for number in range(bands)]}
    return Dataset(parse_spec({"sensor": sensor, "images": pattern}, base=root))


def normalised(data: Dataset, window: Any = None) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """As the loader would make it: a line over stored numbers, 0 where not valid."""
    portion = Feed(data).portion(data.items("train")[0], window)
    pixels_CHW = portion.stored_CHW * portion.gain_C[:, None, None] + portion.bias_C[:, None, None]
    valid_CHW = np.ones(pixels_CHW.shape, bool) if portion.valid_CHW is None else portion.valid_CHW
    return np.where(valid_CHW, pixels_CHW, 0), valid_CHW


def expected(data: Dataset, window: Any = None) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """As everywhere else: read, decode, normalise."""
    decoded = data.sensor.decode(data.read(data.items("train")[0], window))
    return data.sensor.normalise(decoded), decoded.valid_CHW


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "band", [{}, {"nodata": 7}, {"valid_range": [-1, 5]}, {"unit": "m", "scale": -0.25, "offset": 2, "nodata": 0}]
)
@pytest.mark.parametrize("nodata", [None, 3])
def test_all_types_and_nodata_rules(tmp_path: Path, save: Save, dtype: str, band: Any, nodata: int | None) -> None:
    random = np.random.default_rng(5)
    low = 0 if dtype.startswith("u") else -20
    save(tmp_path / "a.tif", random.integers(low, 30, (3, 9, 11)).astype(dtype), nodata=nodata)
    data = dataset(tmp_path, "*.tif", 3, **band)
    assert (plain_planes(tmp_path / "a.tif", data.source(data.items("train")[0]).planes) is None) == (
        dtype in {"int32", "float64"}
    )
    for window in (None, (2, 3, 5, 4)):
        for found, wanted in zip(normalised(data, window), expected(data, window), strict=True):
            assert found.shape == wanted.shape
            assert np.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("axes", ["HWC", "CHW"])
def test_mapped_arrays(tmp_path: Path, axes: str) -> None:
    cube_CHW = np.random.default_rng(1).integers(0, 255, (3, 40, 50), np.uint8)
    np.save(tmp_path / "a.npy", cube_CHW if axes == "CHW" else cube_CHW.transpose(1, 2, 0))
    data = dataset(tmp_path, "*.npy", 3)
    assert plain_planes(tmp_path / "a.npy", data.source(data.items("train")[0]).planes) is not None
    for found, wanted in zip(normalised(data, (5, 6, 7, 8)), expected(data, (5, 6, 7, 8)), strict=True):
        assert np.allclose(found, wanted, atol=1e-5)
    portion = Feed(data).portion(data.items("train")[0], (5, 6, 7, 8))
    assert portion.stored_CHW.dtype == np.uint8
    assert np.array_equal(portion.stored_CHW, cube_CHW[:, 5:12, 6:14])


def test_nan_and_nodata_strips_never_reach_the_numbers(tmp_path: Path, save: Save) -> None:
    pixels = np.full((2, 6, 6), 5.0, np.float32)
    pixels[0, :2], pixels[1, 3] = -9999, np.nan
    save(tmp_path / "a.tif", pixels, nodata=-9999)
    found, valid = normalised(dataset(tmp_path, "*.tif", 2))
    assert valid.sum() == 72 - 12 - 6
    assert np.array_equal(found[valid], np.full(54, 1.0))
    assert np.array_equal(found[~valid], np.zeros(18))


def test_files_with_masks_take_the_careful_path(tmp_path: Path, save: Save) -> None:
    save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 2, (4, 5, 5), np.uint8) * 255)
    data = dataset(tmp_path, "*.png", 3)
    assert plain_planes(tmp_path / "a.png", data.source(data.items("train")[0]).planes) is None
    found, valid = normalised(data)
    assert 0 < valid.sum() < valid.size
    assert np.allclose(found, expected(data)[0], atol=1e-5)


def test_envi_headers_take_the_careful_path(tmp_path: Path) -> None:
    pixels = np.arange(2 * 5 * 6, dtype=np.int16).reshape(2, 5, 6)
    (tmp_path / "a.dat").write_bytes(pixels.tobytes())
    header = "ENVI\nsamples = 6\nlines = 5\nbands = 2\ndata type = 2\ninterleave = bsq\nbyte order = 0\n"
    (tmp_path / "a.hdr").write_text(header)
    data = dataset(tmp_path, "*.hdr", 2)
    assert np.allclose(normalised(data, (1, 2, 3, 4))[0], (pixels[:, 1:4, 2:6] - 3.0) / 2.0)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_a_file_states_about_its_scaling_is_followed(tmp_path: Path, save: Save) -> None:
    import rasterio

    save(tmp_path / "a.tif", np.arange(8, dtype=np.uint16).reshape(2, 2, 2))
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.scales, file.offsets = (0.5, 0.25), (1.0, 0.0)
    data = dataset(tmp_path, "*.tif", 2, unit="K")
    assert np.allclose(normalised(data)[0], expected(data)[0], atol=1e-6)
    assert np.isclose(normalised(data)[0][0, 0, 1], (1 * 0.5 + 1 - 3) / 2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=20),
    nodata=st.none() | st.integers(-3, 260),
    sensor_nodata=st.none() | st.integers(0, 255),
    ends=st.none() | st.tuples(st.floats(-10, 40), st.floats(41, 300)),
    scale=st.sampled_from([1.0, 0.1, -1.0, 1e-4]),
)
def test_judging_integers_equals_decoding_them(
    values: list[int], nodata: int | None, sensor_nodata: int | None, ends: Any, scale: float
) -> None:
    band = Band(name="a", unit="K", nodata=sensor_nodata, valid_range=ends, scale=scale)
    stored = np.array(values, np.uint8)
    judged = accepted_integers(band, "uint8", nodata, None).judge(stored, min(values), max(values))
    _, wanted = band.decode(stored.astype(np.float32), stored != (nodata if nodata is not None else -1))
    assert np.array_equal(np.ones(len(values), bool) if judged is None else judged, wanted)


def test_a_type_with_no_valid_number_at_all() -> None:
    band = Band(name="a", unit="K", valid_range=(1e6, 2e6))
    assert accepted_integers(band, "uint8", None, None) == Acceptance(1, 0, ())
    judged = accepted_integers(band, "uint8", None, None).judge(np.array([0, 255], np.uint8), 0, 255)
    assert judged is not None
    assert not judged.any()


def test_a_file_written_again_is_read_again(tmp_path: Path, save: Save) -> None:
    path = tmp_path / "a.tif"
    save(path, np.zeros((1, 4, 4), np.uint8))
    first = dataset(tmp_path, "*.tif", 1)
    assert Feed(first).portion(first.items("train")[0], None).stored_CHW.max() == 0
    path.unlink()
    save(path, np.full((1, 5, 5), 9, np.uint8))
    again = dataset(tmp_path, "*.tif", 1)
    assert np.array_equal(Feed(again).portion(again.items("train")[0], None).stored_CHW, np.full((1, 5, 5), 9))


@pytest.mark.slow
def test_many_files_do_not_stay_open(tmp_path: Path, save: Save) -> None:
    from sensam.data import native

    for number in range(native.MOST_OPEN + 5):
        with kept_open(save(tmp_path / f"{number}.tif", np.zeros((1, 2, 2), np.uint8))):
            assert len(native._open) <= native.MOST_OPEN


def test_a_file_cut_short_is_named_in_one_line(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (2, 64, 64), np.uint8))
    data = dataset(tmp_path, "*.tif", 2)
    feed, item = Feed(data), data.items("train")[0]
    feed.portion(item, None)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match=r"a\.tif cannot be read.*cut short"):
        feed.portion(item, None)
    with pytest.raises(InputError, match=r"gone\.tif cannot be read"), kept_open(tmp_path / "gone.tif"):
        pytest.fail("a missing file must not open")
