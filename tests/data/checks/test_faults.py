"""Faults planted in a sound data set, one at a time: each is reported with the file to blame and a remedy."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from rasterio.transform import Affine

from sensam.data.checks import Inspection, estimates, inspect
from sensam.data.dataset import open_dataset
from tests.data.checks.planting import (
    IMAGE,
    MASK,
    change,
    change_all,
    class_absent,
    class_nowhere,
    colours_read_as_numbers,
    copied_to_another_split,
    copied_within_a_split,
    cut_short,
    empty_split,
    fractions_in_a_mask,
    hidden_nodata,
    instruments_of_other_size,
    keys_without_a_split,
    label_in_a_band,
    lenient_unknown_value,
    map_in_a_band,
    missing_instrument,
    move,
    names_of_another_sensor,
    nearly_copied,
    nothing_labelled,
    outside_a_little,
    outside_nearly_all,
    polygons_of_no_class,
    remove,
    same_ground,
    same_ground_in_another_projection,
    set_plane,
    swapped,
    unknown_colour,
    unknown_value,
    write_bytes,
    wrong_statistics,
)

Plant = Callable[[Any], str]  # changes files and settings; returns the path, or the name, that the report must show


@dataclass(frozen=True)
class Fault:
    """What is done to the data set, and what must be said."""

    plant: Plant
    severity: Literal["error", "warning"]
    found: str
    remedy: str


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


@pytest.mark.slow
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
