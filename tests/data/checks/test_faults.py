"""Faults planted in a sound data set, one at a time: each is reported with the file to blame and a remedy."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine

from sensam.data.checks import Inspection, estimates, inspect
from sensam.data.dataset import open_dataset

Plant = Callable[[Any], str]  # changes files and settings; returns the path, or the name, that the report must show
IMAGE, MASK = "train/images/tile_0.tif", "train/masks/tile_0.tif"


@dataclass(frozen=True)
class Fault:
    """What is done to the data set, and what must be said."""

    plant: Plant
    severity: Literal["error", "warning"]
    found: str
    remedy: str


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


FAULTS: dict[str, Fault] = {
    "missing mask": Fault(lambda s: remove(s, MASK) and IMAGE, "error", "has no mask", "Add files that match"),
    "missing image": Fault(lambda s: remove(s, IMAGE) and MASK, "error", "mask has no image", "or delete the masks"),
    "no masks at all": Fault(
        lambda s: [remove(s, str(p.relative_to(s.folder))) for p in s.folder.glob("*/masks/*")] and "set",
        "error",
        "no image has a mask",
        "Correct `masks:",
    ),
    "mask of other size": Fault(
        lambda s: change(s, MASK, lambda a: a[:, :12]), "error", "12 x 16 pixels, its image has 16 x 16", "take it out"
    ),
    "unknown value": Fault(unknown_value, "error", "7 is no class, and stands in 6 pixels", "Add 7 to `classes`"),
    "unknown value, ignored": Fault(lenient_unknown_value, "warning", "7 is no class", "It is ignored"),
    "unknown colour": Fault(unknown_colour, "error", "#ff8000 is no class, and stands in 5 pixels", "Add #ff8000"),
    "colours read as numbers": Fault(colours_read_as_numbers, "error", "has 3 bands", "take it out"),
    "mask with fractions": Fault(fractions_in_a_mask, "error", "a mask holds a picture", "swapped"),
    "swapped files": Fault(
        lambda s: swapped(s) and MASK, "error", "a mask holds a picture", "Were tile_0.tif and its mask swapped"
    ),
    "swapped files, the image": Fault(
        swapped, "error", "an image holds no more values than there are classes", "into the folder of masks"
    ),
    "mask in another coordinate system": Fault(
        lambda s: move(s, MASK, 0, epsg=32634), "error", "a mask is in EPSG:32634, its image in EPSG:32633", "Reproject"
    ),
    "mask beside its image": Fault(lambda s: move(s, MASK, 30), "error", "lies 3 pixels beside", "on the same grid"),
    "image in another coordinate system": Fault(
        lambda s: move(s, MASK, 0, epsg=32634) and move(s, IMAGE, 0, epsg=32634),
        "warning",
        "1 image is in EPSG:32634",
        "Reproject them",
    ),
    "image with other pixels": Fault(
        lambda s: change(s, IMAGE, transform=Affine(20, 0, 500_000, 0, -20, 5_500_000)),
        "warning",
        "pixels of 20 x 20, most are made of pixels of 10 x 10",
        "Resample",
    ),
    "truncated image": Fault(lambda s: cut_short(s, IMAGE), "error", "cannot be read", "take it out"),
    "truncated mask": Fault(lambda s: cut_short(s, MASK), "error", "cannot be read", "take it out"),
    "empty file": Fault(lambda s: write_bytes(s, IMAGE, b""), "error", "cannot be read", "take it out"),
    "text instead of an image": Fault(
        lambda s: write_bytes(s, IMAGE, b"<html>404</html>"), "error", "cannot be read", "take it out"
    ),
    "band lost": Fault(lambda s: change(s, IMAGE, lambda a: a[:1]), "error", "has 1 band, two has 2", "take it out"),
    "bands of another sensor": Fault(names_of_another_sensor, "error", "names its bands red, nir", "take it out"),
    "NaN-only band": Fault(
        lambda s: change(s, IMAGE, set_plane(1, np.nan)),
        "error",
        "band band_1 has no valid number in 1 image",
        "leave it out",
    ),
    "infinite band": Fault(
        lambda s: change(s, IMAGE, set_plane(0, np.inf)),
        "error",
        "band band_0 has no valid number in 1 image",
        "leave it out",
    ),
    "constant band in one image": Fault(
        lambda s: change(s, IMAGE, set_plane(1, 1234)),
        "warning",
        "band band_1 is constant in 1 image",
        "Look at the file",
    ),
    "constant band everywhere": Fault(
        lambda s: change_all(s, "images", set_plane(1, 5)) or "set",
        "error",
        "band band_1 is 5 everywhere",
        "Leave it out",
    ),
    "all nodata": Fault(
        lambda s: change(s, IMAGE, lambda a: a * 0, nodata=0), "error", "1 image without one valid pixel", "Remove them"
    ),
    "nearly all nodata": Fault(
        lambda s: change(s, IMAGE, lambda a: a * (np.arange(16) < 1).astype(a.dtype), nodata=0),
        "warning",
        "less than 10 % valid pixels",
        "Leave them out",
    ),
    "fill value nobody declared": Fault(hidden_nodata, "warning", "band_1 holds -9999 in 1 image", "nodata: -9999"),
    "a few values out of range": Fault(outside_a_little, "warning", "lies outside 0 to 5000 in 1 image", "widen"),
    "nearly all values out of range": Fault(outside_nearly_all, "error", "in up to 100.0%", "Correct `scale`"),
    "another stored type": Fault(
        lambda s: change(s, IMAGE, lambda a: a.astype(np.float32)),
        "warning",
        "1 image is stored as float32",
        "same type",
    ),
    "same ground in two splits": Fault(same_ground, "error", "the same ground in train and val", "Split by area"),
    "same ground, another projection": Fault(
        same_ground_in_another_projection, "error", "the same ground in train and val", "Split by area"
    ),
    "same pixels in two splits": Fault(
        copied_to_another_split, "error", "2 images in train and val have the same pixels", "one split only"
    ),
    "same pixels twice in a split": Fault(
        copied_within_a_split, "warning", "2 images of train have the same pixels", "Keep one"
    ),
    "nearly the same picture in two splits": Fault(
        nearly_copied, "warning", "in two splits look the same", "one split"
    ),
    "class not in train": Fault(
        lambda s: class_absent(s, "train"), "error", "class class 1 is only in val, not in train", "Deal the samples"
    ),
    "class not in val": Fault(lambda s: class_absent(s, "val"), "warning", "class class 1 is not in val", "undefined"),
    "class nowhere": Fault(class_nowhere, "warning", "class unicorn is in no mask", "take it out"),
    "nothing labelled": Fault(nothing_labelled, "warning", "1 mask labels nothing", "label them"),
    "the label in a band": Fault(label_in_a_band, "warning", "band_1 nearly contains the label", "leave it out"),
    "a finished map in a band": Fault(map_in_a_band, "warning", "no measurement but a finished map", "leave it out"),
    "an instrument without a file": Fault(missing_instrument, "error", "no two of a sample", "Add the file"),
    "instruments of other size": Fault(instruments_of_other_size, "error", "8 x 16", "take it out"),
    "keys in no split": Fault(keys_without_a_split, "warning", "1 image is in no split", "Name them under `splits`"),
    "empty split": Fault(empty_split, "error", "a split is empty", "Correct its folder"),
    "files that no pattern takes": Fault(
        lambda s: (
            (s.folder / IMAGE).rename(s.folder / "train/images/tile_0.tiff")
            and remove(s, MASK)
            and "train/images/tile_0.tiff"
        ),
        "warning",
        "1 file beside the images is not used",
        "widen the pattern",
    ),
    "statistics of other files": Fault(wrong_statistics, "warning", "are not those of the files", "sensam stats"),
    "polygons of no class": Fault(polygons_of_no_class, "error", "cloud is no class, and stands in", "Add cloud"),
}


def inspected(small: Any) -> Inspection:
    return inspect(open_dataset(small.yaml))


@pytest.fixture(scope="module", autouse=True)
def _one_measurement() -> Iterator[None]:
    """The processor's speed is measured once, not for every fault: it takes a third of a check."""
    found = estimates._gflop_per_second()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimates, "_gflop_per_second", lambda: found)
        yield


def test_at_least_thirty() -> None:
    assert len(FAULTS) >= 30


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # faults without a place on Earth
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_reported_with_file_and_remedy(name: str, make_set: Any) -> None:
    fault, small = FAULTS[name], make_set()
    blamed = fault.plant(small)
    report = inspected(small)
    told = [problem for problem in report.problems if fault.found in problem.found]
    assert told, [str(problem) for problem in report.problems]
    (problem,) = told[:1]
    assert problem.severity == fault.severity
    assert fault.remedy in problem.remedy
    assert blamed in " ".join((problem.found, *problem.files))
    assert bool(report.errors) == any(problem.severity == "error" for problem in report.problems)


def test_a_sound_data_set_has_no_problem(make_set: Any) -> None:
    assert inspected(make_set()).problems == ()


def test_every_image_broken_is_one_line_not_a_traceback(make_set: Any) -> None:
    small = make_set()
    for path in small.folder.glob("*/images/*.tif"):
        path.write_bytes(b"")
    report = inspected(small)
    assert any("6 files alike" in problem.found for problem in report.errors)
    assert report.estimate is None


def test_a_split_on_purpose_without_masks_is_no_problem(make_set: Any) -> None:
    small = make_set({"train": 3, "pretrain": 2})
    shutil.rmtree(small.folder / "pretrain/masks")
    assert inspected(small).problems == ()


def test_a_stranger_in_one_mask_hides_nothing_else(make_set: Any) -> None:
    small = make_set()
    unknown_value(small)
    report = inspected(small)
    counts = report.survey.counts("train")
    assert counts.sum() == 4 * 256
    assert counts[-1] == 6
