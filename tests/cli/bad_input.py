"""What `sensam predict` must refuse: makers of scenes, models and areas, and the words to type with them."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from tests.infer.mapmaking import BANDS, ground, write_scene

Make = Callable[[Path], list[Any]]


def good(folder: Path, name: str = "scene.tif", **profile: Any) -> Path:
    return write_scene(folder / name, ground(40, 50), **profile)


def scene_of(pixels: Any, names: Any = BANDS, **profile: Any) -> Make:
    return lambda folder: ["toy", write_scene(folder / "scene.tif", pixels, names, **profile)]


def with_options(*words: Any, model: str = "toy") -> Make:
    return lambda folder: [model, good(folder), *words]


def with_file(name: str, content: bytes, *words: Any) -> Make:
    def make(folder: Path) -> list[Any]:
        (folder / name).write_bytes(content)
        return ["toy", folder / name, *words]

    return make


def cut(folder: Path) -> list[Any]:
    path = good(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return ["toy", path]


def damaged(folder: Path) -> list[Any]:
    path = write_scene(folder / "scene.tif", ground(200, 200, patch=1), compress="deflate")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8000] = bytes(8000)
    path.write_bytes(bytes(content))
    return ["toy", path]


def singles(folder: Path, change: dict[str, Any], height: int = 40) -> list[Any]:
    for name, plane in zip(BANDS, ground(40, 50), strict=True):
        facts = change if name == "B04" else {}
        rows = height if name == "B04" else 40
        write_scene(folder / "bands" / f"{name}.tif", plane[None, :rows], None, **facts)
    return ["toy", folder / "bands"]


def item(content: Any) -> Make:
    text = content if isinstance(content, str) else json.dumps(content)
    return with_file("item.json", text.encode())


def area(shape: Any, crs: str | None = "EPSG:32632") -> Make:
    def make(folder: Path) -> list[Any]:
        path = folder / "area.fgb"
        geometry = np.array([shape.wkb], dtype=object)
        with pytest.warns(UserWarning, match="crs") if crs is None else _nothing():
            pyogrio.raw.write(path, geometry, [], [], geometry_type=shape.geom_type, crs=crs, driver="FlatGeobuf")
        return ["toy", good(folder), "--aoi", path]

    return make


def ring(corners: str) -> Make:
    """An area of one ring as GeoJSON, which libraries of geometry would not make."""

    def make(folder: Path) -> list[Any]:
        geometry = f'{{"type": "Polygon", "coordinates": [[{corners}]]}}'
        (folder / "area.geojson").write_text(f'{{"type": "Feature", "properties": {{}}, "geometry": {geometry}}}')
        return ["toy", good(folder), "--aoi", folder / "area.geojson"]

    return make


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def looped(folder: Path) -> list[Any]:
    (folder / "a.tif").symlink_to(folder / "b.tif")
    (folder / "b.tif").symlink_to(folder / "a.tif")
    return ["toy", folder / "a.tif"]


def pickled(name: str) -> Make:
    def make(folder: Path) -> list[Any]:
        (folder / name).write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
        return [folder / name, good(folder)]

    return make


def pickled_array(folder: Path) -> list[Any]:
    np.save(folder / "scene.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return ["toy", folder / "scene.npy"]


def several_arrays(folder: Path) -> list[Any]:
    np.savez(folder / "scene.npz", a=np.ones((40, 50)), b=np.ones((30, 20)))
    return ["toy", folder / "scene.npz"]


def listed(text: str) -> Make:
    def make(folder: Path) -> list[Any]:
        (folder / "list.txt").write_text(text)
        return ["toy", "--list", folder / "list.txt"]

    return make


def twins(folder: Path) -> list[Any]:
    return ["toy", good(folder, "a/scene.tif"), good(folder, "b/scene.tif")]


def named_twice(folder: Path) -> list[Any]:
    return ["toy", write_scene(folder / "scene.tif", ground(20, 20), ("B2", "B002", "B03"))]


def onto_itself(folder: Path) -> list[Any]:
    return ["toy", good(folder), "-o", folder]


def unplaced(*words: Any) -> Make:
    return lambda folder: ["toy", good(folder, crs=None, transform=None), *words]


SQUARE = shapely.box(500_000, 4_999_700, 500_200, 4_999_900)
FLOATS = np.full((3, 20, 20), np.nan, np.float32)
COLLECTION = {"stac_version": "1.0.0", "assets": {}}
LOST = {"stac_version": "1.0.0", "assets": {"all": {"href": "gone.tif", "bands": [{"name": name} for name in BANDS]}}}
BLIND = {"stac_version": "1.0.0", "assets": {"thumbnail": {"href": "thumb.png"}}}


def coloured(folder: Path) -> Path:
    path = write_scene(folder / "scene.tif", ground(9, 9))
    import rasterio

    with rasterio.open(path, "r+") as file:
        for index, length in enumerate((490, 560, 1610), start=1):
            file.update_tags(index, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(length / 1000))
    return path
