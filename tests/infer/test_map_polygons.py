"""Polygons of a map: valid pixels without gaps, the same whatever is numbered at once, areas in square metres."""

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform_bounds

from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.vectors import Outlines
from sensam.infer.voting import Vote
from tests.infer.mapmaking import (
    CLASSES,
    ground,
    make_map,
    place,
    read,
    segmenter,
    write_scene,
)


@pytest.mark.parametrize("format", ["gpkg", "geojson", "fgb"])
def test_polygons_cover_the_valid_pixels_without_gaps(scene, tmp_path, format):
    path, pixels = scene
    *_, drawn, made = make_map(segmenter(), path, tmp_path, outlines=Outlines(format, smallest=40, tolerance=1.0))
    info, _, geometry, (names, numbers, areas, sure) = pyogrio.raw.read(drawn)
    shapes = shapely.from_wkb(geometry)
    valid = (pixels[0] > 0).sum() * 100
    assert areas.sum() == valid
    assert (areas >= 4000).all()
    assert all(CLASSES[number] == name for number, name in zip(numbers, names, strict=True))
    assert ((sure > 0.25) & (sure <= 1)).all()
    if format == "geojson":
        assert "4326" in info["crs"] or "CRS84" in info["crs"]
        with rasterio.open(path) as given:
            bounds = transform_bounds(given.crs, "EPSG:4326", *given.bounds)
        assert np.allclose(shapely.total_bounds(shapes), bounds, atol=1e-3)
        return
    assert shapely.coverage_is_valid(shapely.get_parts(shapes))
    # Simplifying moves outer corners too; between neighbours nothing opens.
    assert shapely.area(shapes).sum() == pytest.approx(shapely.union_all(shapes).area)
    assert shapely.area(shapes).sum() == pytest.approx(valid, rel=0.02)
    rows = read(made)[0]
    assert len(names) < sum(1 for _ in rasterio.features.shapes(rows, mask=rows != 255, connectivity=4))


def test_polygons_agree_with_the_map_across_slices(tmp_path, monkeypatch):
    """Numbered a few rows at a time or all at once: the same patches."""
    path = write_scene(tmp_path / "scene.tif", ground(60, 40, patch=5))
    found = []
    for rows in (7, 512):
        monkeypatch.setattr("sensam.infer.patches.ROWS_AT_ONCE", rows)
        outlines = Outlines("fgb", smallest=0, tolerance=0)
        *_, drawn, made = make_map(segmenter(), path, tmp_path / str(rows), outlines=outlines)
        geometry, fields = pyogrio.raw.read(drawn)[2:]
        order = sorted(zip(shapely.from_wkb(geometry), *fields, strict=True), key=lambda one: one[0].wkt)
        found.append([(one.wkt, *facts[:3], round(facts[3], 9)) for one, *facts in order])
    assert found[0] == found[1]
    whole = [shape for shape, _ in rasterio.features.shapes(read(made)[0], connectivity=4)]
    assert len(whole) == len(found[0])


def test_areas_in_degrees_are_square_metres(tmp_path):
    path = write_scene(tmp_path / "scene.tif", ground(100, 100), crs="EPSG:4326", transform=place(10, 60.5, 0.01))
    *_, drawn, _ = make_map(segmenter(), path, tmp_path / "out", outlines=Outlines())
    area = pyogrio.raw.read(drawn, columns=["area_m2"])[3][0].sum()
    assert area == pytest.approx(1 * 111_195 * np.cos(np.radians(60)) * 111_195, rel=1e-3)


def summed(tmp_path, crs, transform):
    path = write_scene(tmp_path / "scene.tif", ground(80, 120), crs=crs, transform=transform)
    *_, drawn, _ = make_map(segmenter(), path, tmp_path / "out", outlines=Outlines())
    return pyogrio.raw.read(drawn, columns=["area_m2"])[3][0].sum()


@pytest.mark.parametrize("pixel", [10, 1000])
def test_areas_in_mercator_are_of_the_ground(tmp_path, pixel):
    """At 60 degrees Mercator counts double: four times the area. A wide scene reaches where it differs."""
    top, rows = 8_399_737.89, np.arange(80) + 0.5
    latitudes = 2 * np.arctan(np.exp((top - rows * pixel) / 6_378_137)) - np.pi / 2
    east = 1 / np.sqrt(1 - 0.00669438 * np.sin(latitudes) ** 2)  # radii of the ellipsoid over that of the equator
    north = (1 - 0.00669438) * east**3
    expected = 120 * pixel**2 * (np.cos(latitudes) ** 2 * east * north).sum()
    assert summed(tmp_path, "EPSG:3857", place(0, top, pixel)) == pytest.approx(expected, rel=1e-3)
    assert expected == pytest.approx(80 * 120 * pixel**2 / 4, rel=0.1)


def test_areas_in_utm_are_what_its_metres_say(tmp_path):
    """60 degrees north, at the edge of the zone and in its middle."""
    for number, x in enumerate((334_000, 500_000)):
        area = summed(tmp_path / str(number), "EPSG:32632", place(x, 6_655_000, 10))
        assert area == pytest.approx(80 * 120 * 100, rel=1e-9)


def test_areas_differ_along_a_row_where_the_ground_does(tmp_path):
    """The same Mercator turned by a quarter: its columns are what rows were."""
    turned = Affine(0, 1000, 0, -1000, 0, 8_399_737.89)
    upright = place(0, 8_399_737.89, 1000)
    pixels = ground(60, 60)
    found = []
    for name, transform, shown in (("upright", upright, pixels), ("turned", turned, pixels.swapaxes(1, 2))):
        path = write_scene(tmp_path / f"{name}.tif", shown, crs="EPSG:3857", transform=transform)
        *_, drawn, _ = make_map(segmenter(), path, tmp_path / name, outlines=Outlines())
        found.append(sorted(pyogrio.raw.read(drawn, columns=["area_m2"])[3][0]))
    assert np.allclose(*found, rtol=1e-6)
    assert sum(found[0]) < 0.3 * 60 * 60 * 1e6


@pytest.mark.parametrize("format", ["gpkg", "geojson", "fgb"])
def test_the_disk_that_is_told_has_room_for_polygons(tmp_path, monkeypatch, format):
    """All that lies there before the first finished file leaves."""
    path = write_scene(tmp_path / "scene.tif", ground(300, 400, patch=3))
    seen = []

    def put(made, target):
        seen.append(sum(file.stat().st_size for file in made.parent.rglob("*") if file.is_file()))
        made.replace(target)

    monkeypatch.setattr("sensam.infer.mapping._put", put)
    target = Target(tmp_path / "out", "map")
    job = SceneJob(segmenter(), "same", str(path), target, MapSettings(outlines=Outlines(format)))
    job.complete(job.run(Vote([segmenter()], device="cpu")))
    assert seen[0] <= job.disk <= 3 * seen[0]
