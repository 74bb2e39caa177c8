"""Objects as polygons and as numbers in a raster, on the scene's own grid and on the globe."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read
from rasterio.crs import CRS
from rasterio.transform import Affine

from sensam.data.raster import RasterInfo
from sensam.errors import InputError, SettingsError
from sensam.infer.click_files import write_objects
from sensam.infer.scene_clicks import Found

PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def info(*, placed: bool = True) -> RasterInfo:
    facts = {"wavelengths_nm": (None,), "nodata": (None,), "descriptions": ("",), "units": ("",), "scaling": (None,)}
    where = {"crs": CRS.from_epsg(32633), "transform": PLACE} if placed else {}
    return RasterInfo("s.tif", ("a",), 60, 40, ("uint8",), **facts, **where)  # type: ignore[arg-type]


def objects() -> list[Found]:
    small, large = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    small[5:8, 5:9], large[2:12, 2:12], large[15, 15] = True, True, True
    return [Found(small, (30, 10, 20, 20), 0.75, "19,36", False), Found(large, (30, 10, 20, 20), 0.5, "box", False)]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb"])
def test_polygons_cover_exactly_the_masks_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"objects{suffix}"
    write_objects(path, objects(), info())
    meta, _, geometry, fields = read(path)
    shapes = shapely.from_wkb(geometry)
    by_name = dict(zip(meta["fields"], fields, strict=True))
    order = np.argsort(by_name["object"])  # FlatGeobuf sorts by place
    assert by_name["object"][order].tolist() == [1, 2]
    assert by_name["asked"][order].tolist() == ["19,36", "box"]
    assert by_name["pixels"][order].tolist() == [12, 101]
    assert by_name["score"][order].tolist() == [0.75, 0.5]
    if suffix == ".geojson":
        assert meta["crs"].endswith("4326")
        assert shapely.union_all(shapes).within(shapely.box(14.9, 45.1, 15.1, 45.2))
        return
    assert CRS.from_user_input(meta["crs"]) == CRS.from_epsg(32633)
    assert shapes[order][0].equals(shapely.box(500_150, 4_999_620, 500_190, 4_999_650))
    assert shapes[order][1].area == 101 * 100
    assert len(shapes[order][1].geoms) == 2


def test_a_file_tells_of_no_name_but_its_own(tmp_path: Path) -> None:
    write_objects(tmp_path / "lakes.geojson", objects(), info())
    assert json.loads((tmp_path / "lakes.geojson").read_text())["name"] == "lakes"
    assert [path.name for path in tmp_path.iterdir()] == ["lakes.geojson"]


def test_a_raster_of_numbers_with_the_smaller_object_on_top(tmp_path: Path) -> None:
    path = tmp_path / "objects.tif"
    write_objects(path, objects(), info())
    with rasterio.open(path) as file:
        numbers = file.read(1)
        assert (file.crs, file.transform, file.nodata) == (CRS.from_epsg(32633), PLACE, 0)
        assert numbers.shape == (60, 40)
    assert (numbers == 1).sum() == 12
    assert (numbers == 2).sum() == 101 - 12
    assert numbers[35, 15] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["objects.tif"]


@pytest.mark.parametrize("name", ["o.gpkg", "o.geojson", "o.tif"])
def test_a_scene_without_a_place_gives_pixels(tmp_path: Path, name: str) -> None:
    write_objects(tmp_path / name, objects(), info(placed=False))
    if name.endswith("tif"):
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(tmp_path / name) as file:
            assert file.read(1)[35, 15] == 1
        return
    _, _, geometry, _ = read(tmp_path / name)
    assert shapely.from_wkb(geometry[0]).equals(shapely.box(15, 35, 19, 38))


def test_an_empty_mask_is_an_object_without_a_shape(tmp_path: Path) -> None:
    found = Found(np.zeros((4, 4), bool), (0, 0, 4, 4), 0.1, "1,1", False)
    write_objects(tmp_path / "o.gpkg", [found], info())
    _, _, geometry, _ = read(tmp_path / "o.gpkg")
    assert shapely.from_wkb(geometry[0]).is_empty


def test_the_folder_is_made(tmp_path: Path) -> None:
    write_objects(tmp_path / "new" / "folder" / "o.tif", objects(), info())
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["o.tif"]


def test_names_that_say_no_format_and_folders_that_are_files(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ends in .gpkg, .geojson, .json, .fgb, .tif"):
        write_objects(tmp_path / "objects.shp", objects(), info())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file is a file, and a folder is needed"):
        write_objects(tmp_path / "file" / "in" / "objects.tif", objects(), info())
