"""Polygons burned on the fly: the same ground, whatever coordinate system, window or file they come in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyogrio.raw import write
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform_geom
from shapely import to_wkb
from shapely.geometry import box, mapping, shape

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.errors import InputError, SettingsError

Save = Callable[..., Path]
UTM = CRS.from_epsg(32633)
EAST, NORTH, PIXEL = 500_000.0, 5_000_000.0, 10.0


def rectangle(row: int, column: int, rows: int, columns: int) -> Any:
    """Exactly these pixels, in UTM."""
    west, north = EAST + column * PIXEL, NORTH - row * PIXEL
    return box(west, north - rows * PIXEL, west + columns * PIXEL, north)


def write_polygons(path: Path, shapes: list[Any], kinds: list[str], epsg: int = 32633) -> Path:
    if epsg != 32633:
        shapes = [shape(transform_geom(UTM, f"EPSG:{epsg}", mapping(one))) for one in shapes]
    geometry = np.array([to_wkb(one) for one in shapes], object)
    driver = {".gpkg": "GPKG", ".geojson": "GeoJSON"}[path.suffix]
    field = np.array(kinds, object)
    write(path, geometry, [field], ["kind"], geometry_type="Polygon", crs=f"EPSG:{epsg}", driver=driver)
    return path


def dataset(root: Path, **label: Any) -> Dataset:
    settings = {
        "sensor": {"name": "one", "bands": ["a"]},
        "images": "*.tif",
        "masks": "ground.gpkg" if (root / "ground.gpkg").exists() else "*.geojson",
        "classes": ["field", "water", "road"],
        "label": {"codec": "polygons", "attribute": "kind", "uncovered": "field"} | label,
    }
    return Dataset(parse_spec(settings, base=root))


@pytest.fixture
def scene(tmp_path: Path, save: Save) -> Path:
    place = {"crs": UTM, "transform": Affine(PIXEL, 0, EAST, 0, -PIXEL, NORTH)}
    save(tmp_path / "scene.tif", np.ones((1, 30, 40), np.uint8), **place)
    return tmp_path


@pytest.mark.parametrize("epsg", [32633, 4326, 3857])
def test_whole_pixels_come_out_exactly_in_any_coordinate_system(scene: Path, epsg: int) -> None:
    shapes = [rectangle(2, 3, 10, 12), rectangle(8, 10, 4, 25), rectangle(25, 35, 50, 50)]
    write_polygons(scene / "ground.gpkg", shapes, ["water", "road", "water"], epsg)
    expected = np.zeros((30, 40), np.uint8)
    expected[2:12, 3:15] = 1
    expected[25:, 35:] = 1
    expected[8:12, 10:35] = 2  # the later class wins where they overlap, whatever the order in the file
    found = dataset(scene)
    item = found.items("train")[0]
    label_HW = found.read_label(item)
    assert label_HW is not None
    assert label_HW.dtype == np.uint8
    assert np.array_equal(label_HW, expected)
    for window in ((0, 0, 5, 5), (7, 9, 13, 20), (24, 30, 6, 10)):
        row, column, rows, columns = window
        assert np.array_equal(found.read_label(item, window), expected[row : row + rows, column : column + columns])


def test_files_too_large_to_keep_give_the_same(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    places = random.integers(0, 30, (25, 4)).tolist()
    kinds = random.choice(["water", "road"], 25).tolist()
    shapes = [rectangle(row, column, 1 + rows // 4, 1 + columns // 4) for row, column, rows, columns in places]
    write_polygons(scene / "ground.gpkg", shapes, kinds, 4326)
    found = dataset(scene)
    item = found.items("train")[0]
    windows = (None, (3, 4, 20, 9), (25, 30, 5, 10))
    kept = [found.read_label(item, window) for window in windows]
    monkeypatch.setattr("sensam.data.polygons.LARGEST_KEPT", 0)
    for window, expected in zip(windows, kept, strict=True):
        assert np.array_equal(found.read_label(item, window), expected)  # type: ignore[arg-type]


def test_what_is_uncovered_unknown_or_ignored(scene: Path) -> None:
    shapes = [rectangle(0, 0, 5, 5), rectangle(10, 10, 5, 5)]
    write_polygons(scene / "ground.gpkg", shapes, ["water", "cloud"])
    item = dataset(scene).items("train")[0]
    with pytest.raises(SettingsError, match=r"no class of polygons in .* named 'cloud'"):
        dataset(scene).read_label(item)
    for lenient in ({"unknown": "ignore"}, {"ignored": ["cloud"]}):
        label_HW = dataset(scene, **lenient).read_label(item)
        assert np.array_equal(np.unique(label_HW, return_counts=True)[1], [1150, 25, 25])
    bare = dataset(scene, uncovered="ignore", unknown="ignore").read_label(item)
    assert np.array_equal(np.unique(bare), [1, 255])
    simple = dataset(scene, attribute=None).read_label(item)
    assert np.array_equal(np.unique(simple), [0, 2])  # without an attribute every polygon is the last class


def test_one_geojson_for_each_image(scene: Path) -> None:
    write_polygons(scene / "scene.geojson", [rectangle(0, 0, 30, 20)], ["water"], 4326)
    found = dataset(scene)
    label_HW = found.read_label(found.items("train")[0])
    assert label_HW is not None
    assert label_HW.sum() == 600


def test_a_wrong_attribute_a_broken_file_and_an_image_without_a_place(scene: Path, save: Save) -> None:
    write_polygons(scene / "ground.gpkg", [rectangle(0, 0, 5, 5)], ["water"])
    item = dataset(scene).items("train")[0]
    with pytest.raises(SettingsError, match="Did you mean 'kind'"):
        dataset(scene, attribute="kinds").read_label(item)
    (scene / "ground.gpkg").write_text("nonsense")
    with pytest.raises(InputError, match="cannot be read as polygons"):
        dataset(scene).read_label(item)
    (scene / "ground.gpkg").unlink()
    (scene / "photo.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    save(scene / "photo.tif", np.ones((1, 4, 4), np.uint8))
    found = dataset(scene)
    photo = next(item for item in found.items("train") if item.key == "photo")
    with pytest.raises(InputError, match="no place on Earth"):
        found.read_label(photo)
