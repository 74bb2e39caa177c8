"""Scenes to files: CRS, colours, nodata, extras, parts, other grids, and bands wherever they lie."""

import json

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch

from sensam.errors import InputError
from sensam.infer import mapping
from sensam.infer.area import window_of_box
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.schedule import beside, between
from sensam.infer.vectors import Outlines
from sensam.infer.voting import Vote
from tests.infer.mapmaking import (
    BANDS,
    CLASSES,
    COLOURS,
    direct,
    ground,
    make_map,
    network,
    place,
    read,
    segmenter,
    sensor,
    write_scene,
)


@pytest.mark.parametrize(
    ("is_remote", "on_gpu", "expected"), [(False, False, between), (True, False, beside), (False, True, beside)]
)
def test_a_model_takes_turns_where_it_needs_the_processor_that_also_reads(
    scene, tmp_path, monkeypatch, is_remote, on_gpu, expected
):
    chosen = []
    monkeypatch.setattr(mapping, "map_strip", lambda *_, schedule, **__: chosen.append(schedule) or 1)
    model = segmenter()
    path = str(scene[0])
    job = SceneJob(model, model.fingerprint, path, Target.of(path, tmp_path / "out", alone=True), MapSettings())
    monkeypatch.setattr(job.scene, "is_remote", is_remote)
    vote = Vote([model], device="cpu")
    if on_gpu:
        vote.device = torch.device("cuda")
    job.run(vote)
    assert chosen == [expected]


def test_a_class_map_lies_where_the_scene_lies(scene, tmp_path):
    path, pixels = scene
    model = segmenter()
    (made,) = make_map(model, path, tmp_path / "out", batch=2)
    expected = direct(model, pixels).argmax(0)
    expected[:20, :30] = 255
    with rasterio.open(made) as file, rasterio.open(path) as given:
        assert np.array_equal(file.read(1), expected)
        assert (file.crs, file.transform, file.nodata) == (given.crs, given.transform, 255)
        assert tuple(file.colormap(1)[2][:3]) == COLOURS[2]
        assert json.loads(file.tags()["CLASSES"]) == list(CLASSES)
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.profile["compress"] == "deflate"
    assert "<Category>wood</Category>" in made.with_name("scene.tif.aux.xml").read_text()
    assert 'label="wood"' in made.with_suffix(".qml").read_text()
    assert not list((tmp_path / "out").glob("*.partial"))


def test_a_large_map_has_tiles_and_overviews(tmp_path):
    """Sides that are no multiple of a tile's; every pixel is as the whole scene at once has it."""
    pixels, model = ground(600, 1100), segmenter(size=256)
    path = write_scene(tmp_path / "wide.tif", pixels)
    (made,) = make_map(model, path, tmp_path / "out")
    with rasterio.open(made) as file:
        assert np.array_equal(file.read(1), direct(model, pixels).argmax(0))
        assert file.profile["tiled"]
        assert file.overviews(1) == [2, 4]


@pytest.mark.slow
def test_extras_tell_how_sure_the_model_is(scene, tmp_path):
    path, pixels = scene
    model = segmenter()
    probability = direct(model, pixels)
    for storage, full in (("uint8", 254), ("uint16", 65534)):
        out = tmp_path / storage
        make_map(model, path, out, extras=("confidence", "entropy", "probabilities"), storage=storage)
        expected = {
            "confidence": probability.max(0, keepdims=True),
            "entropy": -(probability * np.log(probability)).sum(0, keepdims=True) / np.log(4),
            "probabilities": probability,
        }
        for name, values in expected.items():
            with rasterio.open(out / f"scene.{name}.tif") as file:
                found = file.read()
                assert file.scales[0] == pytest.approx(1 / full)
                assert (found[:, :20, :30] == full + 1).all()
                valid = found[:, 20:]
                assert np.abs(valid / full - values[:, 20:]).max() < 0.51 / full + 1e-5
            assert (out / f"scene.{name}.qml").is_file()


def test_scenes_without_a_place_on_earth_are_mapped_too(tmp_path):
    pixels = ground(40, 50)
    path = write_scene(tmp_path / "photo.tif", pixels, crs=None, transform=None)
    model = segmenter()
    outlines = Outlines("geojson", tolerance=0)
    *_, drawn, made = make_map(model, path, tmp_path / "map.tif", outlines=outlines)
    assert made == tmp_path / "map.tif"
    assert np.array_equal(read(made)[0], direct(model, pixels).argmax(0))
    areas = pyogrio.raw.read(drawn, columns=["area_px"])[3][0]
    assert areas.sum() == pixels[0].size


def test_a_box_and_polygons_choose_a_part(scene, tmp_path):
    path, pixels = scene
    model = segmenter()
    (made,) = make_map(model, path, tmp_path / "box", box=(500_400, 4_999_400, 500_900, 4_999_705))
    with rasterio.open(made) as file:
        assert file.bounds == (500_400, 4_999_400, 500_900, 4_999_710)
        assert np.array_equal(file.read(1), direct(model, pixels[:, 29:60, 40:90]).argmax(0))
    corner = shapely.Polygon([(500_000, 4_999_100), (500_600, 4_999_100), (500_000, 4_999_700)])
    area = tmp_path / "area.gpkg"
    geometry = np.array([corner.wkb], dtype=object)
    pyogrio.raw.write(area, geometry, [], [], geometry_type="Polygon", crs="EPSG:32632")
    (made,) = make_map(segmenter(), path, tmp_path / "area", area=area)
    with rasterio.open(made) as file:
        found = file.read(1)
        assert found.shape == (60, 60)
        assert (found == 255).mean() == pytest.approx(0.5, abs=0.02)
        assert found[-1, 0] != 255
        assert found[0, -1] == 255


def test_another_resolution_and_bands_of_other_sizes(tmp_path):
    pixels = ground(80, 80, patch=8)
    model = segmenter()
    path = write_scene(tmp_path / "fine.tif", pixels)
    (made,) = make_map(model, path, tmp_path / "out", resolution=20.0)
    with rasterio.open(made) as file:
        assert file.res == (20, 20)
        assert np.array_equal(file.read(1), direct(model, pixels[:, ::2, ::2]).argmax(0))
    folder = tmp_path / "bands"
    for name, plane in zip(BANDS, pixels, strict=True):
        step = 2 if name == "B04" else 1
        write_scene(
            folder / f"T32_{name}.tif",
            plane[None, ::step, ::step],
            None,
            transform=place(500_000, 5_000_000, 10 * step),
        )
    with pytest.raises(InputError, match="one grid"):
        make_map(model, folder, tmp_path / "refused")
    (made,) = make_map(model, folder, tmp_path / "joined", resolution=20.0)
    assert np.array_equal(read(made)[0], direct(model, pixels[:, ::2, ::2]).argmax(0))


@pytest.mark.slow
def test_bands_by_name_in_files_lists_folders_vrt_netcdf_and_stac(scene, tmp_path):
    path, pixels = scene
    model = segmenter()
    expected = direct(model, pixels).argmax(0)
    expected[:20, :30] = 255
    turned = write_scene(tmp_path / "turned.tif", pixels[::-1], BANDS[::-1])
    singles = [
        write_scene(tmp_path / "bands" / f"{name}.tif", plane[None], None)
        for name, plane in zip(BANDS, pixels, strict=True)
    ]
    rasterio.shutil.copy(path, tmp_path / "scene.vrt", driver="VRT")
    assets = {
        f"asset{at}": {"href": f"bands/{one.name}", "eo:bands": [{"name": one.stem}]} for at, one in enumerate(singles)
    }
    (tmp_path / "item.json").write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": assets}))
    whole = {"data": {"href": str(turned), "bands": [{"name": name} for name in BANDS[::-1]]}}
    (tmp_path / "whole.json").write_text(json.dumps({"stac_version": "1.1.0", "assets": whole}))
    scenes = [turned, tmp_path / "bands", ",".join(map(str, singles[::-1])), tmp_path / "scene.vrt"]
    for number, source in enumerate([*scenes, tmp_path / "item.json", tmp_path / "whole.json"]):
        (made,) = make_map(model, source, tmp_path / f"out{number}")
        assert np.array_equal(read(made)[0], expected), source


def test_netcdf_scenes(tmp_path):
    import xarray

    pixels = ground(40, 50)
    axes = {"y": 5_000_000 - 10 * (np.arange(40) + 0.5), "x": 500_000 + 10 * (np.arange(50) + 0.5)}
    planes = {name: (("y", "x"), plane) for name, plane in zip(BANDS, pixels, strict=True)}
    xarray.Dataset(planes, axes).to_netcdf(tmp_path / "scene.nc", engine="h5netcdf")
    (made,) = make_map(segmenter(), tmp_path / "scene.nc", tmp_path / "out")
    assert np.array_equal(read(made)[0], direct(segmenter(), pixels).argmax(0))


def test_missing_bands_are_an_error_or_what_the_model_learnt_to_do_without(scene, tmp_path):
    _, pixels = scene
    path = write_scene(tmp_path / "two.tif", pixels[:2], BANDS[:2])
    with pytest.raises(InputError, match="lacks B04"):
        make_map(segmenter(), path, tmp_path / "out")
    model = segmenter(takes_missing_bands=True)
    (made,) = make_map(model, path, tmp_path / "out")
    third = np.full_like(pixels[2:], 500)  # the mean
    expected = direct(model, np.concatenate([pixels[:2], third])).argmax(0)
    expected[:20, :30] = 255
    assert np.array_equal(read(made)[0], expected)


def test_bands_named_by_the_user(scene, tmp_path):
    _, pixels = scene
    path = write_scene(tmp_path / "bare.tif", pixels[::-1], None)
    (made,) = make_map(segmenter(), path, tmp_path / "out", bands=BANDS[::-1])
    expected = direct(segmenter(), pixels).argmax(0)
    expected[:20, :30] = 255
    assert np.array_equal(read(made)[0], expected)


def test_panoramas_wrap(tmp_path):
    pixels = ground(32, 64)
    model = segmenter(network(5), sensor=sensor("equirectangular"), size=40)
    path = write_scene(tmp_path / "pano.tif", pixels, crs=None, transform=None)
    job = SceneJob(model, "", str(path), Target(tmp_path, "map"), MapSettings(overlap=8))
    assert job.layout.wraps
    made = job.complete(job.run(Vote([model], device="cpu")))[-1]
    rolled = write_scene(tmp_path / "rolled.tif", np.roll(pixels, 32, 2), crs=None, transform=None)
    (other,) = make_map(model, rolled, tmp_path / "other", overlap=8)
    assert np.array_equal(np.roll(read(made), 32, 2), read(other))


def test_boxes_snap_to_the_pixels_they_touch(scene):
    from sensam.data.readers import describe

    info = describe(scene[0])
    assert window_of_box((500_000, 4_999_990, 500_010, 5_000_000), info) == (0, 0, 1, 1)
    assert window_of_box((499_000, 4_999_985, 500_015, 5_000_100), info) == (0, 0, 2, 2)
