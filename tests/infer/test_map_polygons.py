"""Polygons of a map: valid pixels without gaps, the same whatever is numbered at once, areas in square metres."""

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.warp import transform_bounds

from sensam.infer.vectors import Outlines
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
