"""Ways to spoil a sound data set: files and settings are changed, and the path or the name to blame is returned."""

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

IMAGE, MASK = "train/images/tile_0.tif", "train/masks/tile_0.tif"


def change(small: Any, name: str, pixels: Callable[[NDArray[Any]], NDArray[Any]] = lambda a: a, **facts: Any) -> str:
    """Write a file again with other pixels or another header."""
    path = small.folder / name
    with rasterio.open(path) as file:
        stored_CHW, profile = pixels(file.read()), file.profile
    bands, height, width = stored_CHW.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": stored_CHW.dtype.name}
    path.unlink()
    with rasterio.open(path, "w", **(profile | shape | facts)) as file:
        file.write(stored_CHW)
    return name


def change_all(small: Any, kind: str, pixels: Callable[[NDArray[Any]], NDArray[Any]], **facts: Any) -> None:
    for path in sorted(small.folder.glob(f"*/{kind}/*.tif")):
        change(small, str(path.relative_to(small.folder)), pixels, **facts)


def set_plane(band: int, value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def changed(stored_CHW: NDArray[Any]) -> NDArray[Any]:
        stored_CHW = stored_CHW.astype(np.float32) if not np.isfinite(value) else stored_CHW.copy()
        stored_CHW[band] = value
        return stored_CHW

    return changed


def every_band(small: Any, **facts: Any) -> None:
    small.settings["sensor"] = {"name": "two", "every_band": {"unit": "DN"} | facts, "bands": ["band_0", "band_1"]}


def remove(small: Any, name: str) -> str:
    (small.folder / name).unlink()
    return name


def cut_short(small: Any, name: str) -> str:
    path = small.folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return name


def write_bytes(small: Any, name: str, content: bytes) -> str:
    (small.folder / name).write_bytes(content)
    return name


def unknown_value(small: Any) -> str:
    def planted(label: NDArray[Any]) -> NDArray[Any]:
        label = label.copy()
        label[0, :2, :3] = 7
        return label

    return change(small, MASK, planted)


def lenient_unknown_value(small: Any) -> str:
    small.settings["label"] = {"unknown": "ignore"}
    return unknown_value(small)


def in_colours(label: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([label * 255, label * 0, 255 - label * 255]).astype(np.uint8)


def unknown_colour(small: Any) -> str:
    change_all(small, "masks", in_colours)
    small.settings["label"] = "palette"
    small.settings["classes"] = [{"name": "a", "color": "#0000ff"}, {"name": "b", "color": "#ff0000"}]

    def planted(colours: NDArray[Any]) -> NDArray[Any]:
        colours = colours.copy()
        colours[1, 0, :5] = 128
        return colours

    return change(small, MASK, planted)


def colours_read_as_numbers(small: Any) -> str:
    change_all(small, "masks", in_colours)
    return MASK


def swapped(small: Any) -> str:
    image, mask, aside = (small.folder / name for name in (IMAGE, MASK, "aside.tif"))
    image.rename(aside)
    mask.rename(image)
    aside.rename(mask)
    # A sensor of one band, so that only the values tell an image from a mask.
    for path in small.folder.glob("*/images/*.tif"):
        change(small, str(path.relative_to(small.folder)), lambda a: a[:1])
    change(small, MASK, lambda a: a[:1])
    small.settings["sensor"] = {"name": "one", "bands": [{"name": "band_0", "unit": "DN"}]}
    return IMAGE


def fractions_in_a_mask(small: Any) -> str:
    return change(small, MASK, lambda a: a.astype(np.float32) + np.float32(0.25))


def move(small: Any, name: str, east: float, north: float = 0.0, epsg: int | None = None) -> str:
    with rasterio.open(small.folder / name) as file:
        t, crs = file.transform, file.crs
    moved = Affine(t.a, t.b, t.c + east, t.d, t.e, t.f + north)
    return change(small, name, transform=moved, crs=CRS.from_epsg(epsg) if epsg else crs)


def same_ground(small: Any) -> str:
    for kind in ("images", "masks"):
        with rasterio.open(small.folder / f"train/{kind}/tile_1.tif") as file:
            there = file.transform
        change(small, f"val/{kind}/tile_0.tif", transform=Affine(there.a, 0, there.c + 80, 0, there.e, there.f))
    return "train/images/tile_1.tif"


def same_ground_in_another_projection(small: Any) -> str:
    from rasterio.warp import transform

    with rasterio.open(small.folder / "train/images/tile_1.tif") as file:
        there, crs = file.transform, file.crs
    (east,), (north,) = transform(crs, "EPSG:4326", [there.c + 20], [there.f - 20])
    geographic = {"crs": CRS.from_epsg(4326), "transform": Affine(1e-4, 0, east, 0, -1e-4, north)}
    for kind in ("images", "masks"):
        change(small, f"val/{kind}/tile_0.tif", **geographic)
    return "train/images/tile_1.tif"


def without_place(small: Any) -> None:
    for kind in ("images", "masks"):
        change_all(small, kind, lambda a: a, crs=None, transform=Affine.identity())


def copied_to_another_split(small: Any) -> str:
    without_place(small)
    shutil.copy(small.folder / "train/images/tile_2.tif", small.folder / "val/images/tile_1.tif")
    return "train/images/tile_2.tif"


def copied_within_a_split(small: Any) -> str:
    without_place(small)
    shutil.copy(small.folder / "train/images/tile_2.tif", small.folder / "train/images/tile_3.tif")
    return "train/images/tile_3.tif"


def nearly_copied(small: Any) -> str:
    without_place(small)
    shutil.copy(small.folder / "train/images/tile_2.tif", small.folder / "val/images/tile_1.tif")
    noise = np.random.default_rng(0).integers(-3, 4, (2, 16, 16))
    return change(small, "val/images/tile_1.tif", lambda a: (a + noise).astype(a.dtype))


def class_absent(small: Any, split: str) -> str:
    for path in sorted(small.folder.glob(f"{split}/masks/*.tif")):
        change(small, str(path.relative_to(small.folder)), lambda a: a * 0)
    return split


def class_nowhere(small: Any) -> str:
    small.settings["classes"] = [*small.settings["classes"], {"name": "unicorn"}]
    return "unicorn"


def nothing_labelled(small: Any) -> str:
    return change(small, MASK, lambda a: a * 0 + 255)


def label_in_a_band(small: Any) -> str:
    for path in sorted(small.folder.glob("*/images/*.tif")):
        with rasterio.open(str(path).replace("images", "masks")) as file:
            label = file.read(1)
        name = str(path.relative_to(small.folder))
        random = np.random.default_rng(len(name))

        def planted(image: NDArray[Any], label: NDArray[Any] = label, random: Any = random) -> NDArray[Any]:
            image = image.copy()
            image[1] = 3000 + 2000 * label.astype(int) + random.integers(0, 500, label.shape)
            return image

        change(small, name, planted)
    return "band_1"


def map_in_a_band(small: Any) -> str:
    """A finished map that is often wrong, as land-cover products are."""
    for path in sorted(small.folder.glob("*/images/*.tif")):
        with rasterio.open(str(path).replace("images", "masks")) as file:
            label = np.roll(file.read(1), 2, axis=0)
        change(small, str(path.relative_to(small.folder)), lambda a, label=label: np.stack([a[0], 10 + 10 * label]))
    return "band_1"


def missing_instrument(small: Any) -> str:
    small.settings["images"] = {"one": "{split}/images/*.tif", "two": "{split}/others/*.tif"}
    small.settings["sensor"] = {"name": "four", "bands": [{"name": f"x{n}", "unit": "DN"} for n in range(4)]}
    for split in ("train", "val"):
        shutil.copytree(small.folder / split / "images", small.folder / split / "others")
    remove(small, "train/others/tile_3.tif")
    return "tile_3"


def instruments_of_other_size(small: Any) -> str:
    missing_instrument(small)
    shutil.copy(small.folder / "train/images/tile_3.tif", small.folder / "train/others/tile_3.tif")
    return change(small, "train/others/tile_3.tif", lambda a: a[:, :8])


def keys_without_a_split(small: Any) -> str:
    flat = small.folder / "flat"
    for kind in ("images", "masks"):
        shutil.copytree(small.folder / "train" / kind, flat / kind)
    splits = {"train": ["tile_0", "tile_1"], "val": ["tile_2"]}
    small.settings.update({"images": "flat/images/*.tif", "masks": "flat/masks/*.tif", "splits": splits})
    return "tile_3"


def empty_split(small: Any) -> str:
    small.settings["splits"] = ["train", "val", "test"]
    return "test"


def wrong_statistics(small: Any) -> str:
    found = {"mean": 5.0, "std": 2.0, "min": 0.0, "max": 9.0, "pixels": 10}
    small.settings["statistics"] = {"band_0": found, "band_1": found}
    return "band_0"


def outside_a_little(small: Any) -> str:
    every_band(small, valid_range=[0, 5000])
    return change(small, IMAGE, lambda a: np.where(np.arange(16) < 1, 9000, a).astype(a.dtype))


def outside_nearly_all(small: Any) -> str:
    every_band(small, valid_range=[0, 1])
    return IMAGE


def hidden_nodata(small: Any) -> str:
    every_band(small)
    change_all(small, "images", lambda a: a.astype(np.int16))

    def planted(image: NDArray[Any]) -> NDArray[Any]:
        image = image.copy()
        image[1, 0, 0] = -9999
        return image

    return change(small, IMAGE, planted)


def names_of_another_sensor(small: Any) -> str:
    path = small.folder / IMAGE
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("red", "nir")
    return IMAGE


def polygons_of_no_class(small: Any) -> str:
    from pyogrio.raw import write
    from shapely import to_wkb
    from shapely.geometry import box

    shapes = np.array([to_wkb(box(500_000, 4_999_900, 500_050, 5_000_000))] * 2, object)
    kinds = np.array(["class 1", "cloud"], object)
    path = small.folder / "ground.gpkg"
    write(path, shapes, [kinds], ["kind"], geometry_type="Polygon", crs="EPSG:32633", driver="GPKG")
    small.settings["masks"] = "ground.gpkg"
    small.settings["label"] = {"codec": "polygons", "attribute": "kind", "uncovered": "class 0"}
    return "ground.gpkg"
