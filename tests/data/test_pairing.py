"""Pairing: by key, whatever the order; partners that are missing are told, samples in two splits refused."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sensam.data.layout import parse_spec
from sensam.data.pairing import Pairing, pair
from sensam.errors import InputError, SettingsError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def paired(root: Path, **settings: Any) -> Pairing:
    return pair(parse_spec({"sensor": {"name": "x", "bands": ["a"]}, "classes": ["a", "b"], **settings}, base=root))


def test_masks_are_found_by_key_not_by_position(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "images/b.tif", "images/c.tif", "masks/b.png", "masks/c.png", "masks/d.png")
    found = paired(tmp_path, images="images/*.tif", masks="masks/*.png", splits={"train": "*"})
    masks = {item.key: item.mask and item.mask.name for item in found.items["train"]}
    assert masks == {"a": None, "b": "b.png", "c": "c.png"}
    assert [item.key for item in found.without_mask] == ["a"]
    assert [path.name for path in found.without_image] == ["d.png"]


def test_several_stars_make_one_key(tmp_path: Path) -> None:
    touch(tmp_path, "rgb/s1/000_img.jpg", "rgb/s2/000_img.jpg", "seg/s1/000_seg.png", "seg/s2/000_seg.png")
    found = paired(tmp_path, images="rgb/*/*_img.jpg", masks="seg/*/*_seg.png", splits={"train": "s1/*", "val": "s2/*"})
    assert [item.key for item in found.items["train"]] == ["s1/000"]
    assert [item.key for item in found.items["val"]] == ["s2/000"]
    mask = found.items["val"][0].mask
    assert mask is not None
    assert mask.parent.name == "s2"


def test_two_stars_reach_any_depth_but_not_what_is_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.tif", "images/x/y/b.tif", "masks/a.png", "masks/x/y/b.png")
    touch(tmp_path, "images/x/.unfinished-1/c.tif")  # as a write leaves it that was killed
    found = paired(tmp_path, images="images/**/*.tif", masks="masks/**/*.png", splits={"train": "*"})
    assert [item.key for item in found.items["train"]] == ["a", "x/y/b"]
    assert not found.without_mask


def test_a_mask_beside_its_image_is_not_an_image(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif", "b.tif", "b_mask.tif", ".hidden.tif")
    found = paired(tmp_path, images="*.tif", masks="*_mask.tif", splits={"train": "*"})
    assert [(item.key, item.mask and item.mask.name) for item in found.items["train"]] == [
        ("a", "a_mask.tif"),
        ("b", "b_mask.tif"),
    ]


def test_brackets_in_names_are_letters(tmp_path: Path) -> None:
    touch(tmp_path, "im[1]/a.tif", "im1/b.tif")
    assert [i.key for i in paired(tmp_path, images="im[1]/*.tif", splits={"all": "*"}).items["all"]] == ["a"]


def test_instruments_must_all_have_the_sample(tmp_path: Path) -> None:
    touch(tmp_path, "rgb/a.jpg", "rgb/b.jpg", "depth/b.png", "depth/c.png")
    found = paired(tmp_path, images={"rgb": "rgb/*.jpg", "depth": "depth/*.png"}, splits={"train": "*"})
    assert [[path.name for path in item.images] for item in found.items["train"]] == [["b.jpg", "b.png"]]
    assert found.incomplete == {"a": ("depth",), "c": ("rgb",)}


def test_list_files_and_keys_without_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "b.tif", "c.tif")
    (tmp_path / "train.txt").write_text("a\n\n  c  \n")
    found = paired(tmp_path, images="*.tif", splits={"train": "train.txt"})
    assert [item.key for item in found.items["train"]] == ["a", "c"]
    assert found.without_split == ("b",)
    with pytest.raises(InputError, match=r"gone\.txt"):
        paired(tmp_path, images="*.tif", splits={"train": "gone.txt"})


def test_masks_of_all_splits_may_lie_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, "images/train/a.tif", "images/val/b.tif", "masks/a.png", "masks/b.png", "masks/c.png")
    found = paired(tmp_path, images="images/{split}/*.tif", masks="masks/*.png", splits=["train", "val"])
    assert not found.without_mask
    assert [path.name for path in found.without_image] == ["c.png"]


def test_shares_are_exact_and_the_same_everywhere(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:02}.tif" for number in range(20)))
    found = paired(tmp_path, images="*.tif", splits={"train": 0.7, "val": 0.2, "test": 0.1})
    keys = {name: [item.key for item in items] for name, items in found.items.items()}
    assert {name: len(each) for name, each in keys.items()} == {"train": 14, "val": 4, "test": 2}
    assert sorted(key for each in keys.values() for key in each) == [f"{number:02}" for number in range(20)]
    by_hash = sorted((f"{number:02}" for number in range(20)), key=lambda key: sha256(key.encode()).hexdigest())
    assert keys["test"] == sorted(by_hash[18:])
    with pytest.raises(SettingsError, match="add up to"):
        paired(tmp_path, images="*.tif", splits={"train": 0.7, "val": 0.4})
    with pytest.raises(SettingsError, match="all of them a share"):
        paired(tmp_path, images="*.tif", splits={"train": 0.7, "val": "0*"})


def test_one_sample_in_two_splits_is_refused_unless_they_take_other_parts(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif")
    with pytest.raises(SettingsError, match="is in the splits train and val"):
        paired(tmp_path, images="*.tif", splits={"train": "*", "val": "a"})
    leaking = {"train": {"rows": [0, 0.5]}, "val": {"rows": [0.5, 1]}, "test": {"rows": [0.6, 1]}}
    with pytest.raises(SettingsError, match="is in the splits val and test"):
        paired(tmp_path, images="*.tif", splits=leaking)
    parts = {"train": {"rows": [0, 0.8]}, "val": {"rows": [0.8, 1]}}
    assert [len(items) for items in paired(tmp_path, images="*.tif", splits=parts).items.values()] == [1, 1]


def test_one_folder_for_two_splits_is_refused_whatever_the_keys(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/x.tif", "images/b/x.tif")
    same = {"train": {"folder": "a"}, "val": {"folder": "a"}}
    with pytest.raises(SettingsError, match="x is in the splits train and val"):
        paired(tmp_path, images="images/{split}/*.tif", splits=same)
    apart = {"train": {"folder": "a", "rows": [0, 0.5]}, "val": {"folder": "a", "rows": [0.5, 1]}}
    assert [len(items) for items in paired(tmp_path, images="images/{split}/*.tif", splits=apart).items.values()] == [
        1,
        1,
    ]
    other = paired(tmp_path, images="images/{split}/*.tif", splits={"train": "a", "val": "b"})
    assert [item.key for items in other.items.values() for item in items] == ["x", "x"]
    touch(tmp_path, "images/deep/a/x.tif")
    with pytest.raises(SettingsError, match="a/x is in the splits train and val"):
        paired(
            tmp_path,
            images="images/{split}/**/*.tif",
            splits={"train": {"folder": "deep/a"}, "val": {"folder": "deep"}},
        )


def test_domains(tmp_path: Path) -> None:
    touch(tmp_path, "night_1.tif", "day_1.tif", "dusk_1.tif")
    found = paired(tmp_path, images="*.tif", domains={"night": "night*", "day": ["day*"]}, splits={"train": "*"})
    assert {i.key: i.domain for i in found.items["train"]} == {"day_1": "day", "dusk_1": None, "night_1": "night"}
    with pytest.raises(SettingsError, match="A sample has one"):
        paired(tmp_path, images="*.tif", domains={"night": "night*", "late": "n*"}, splits={"train": "*"})


def test_no_image_at_all_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No image matches images/\*\.tif"):
        paired(tmp_path, images="images/*.tif")


def test_a_pattern_that_cannot_tell_files_apart_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/y.tif", "images/x/y.tif", "images/x.tif", "deep/x/y.tif")
    touch(tmp_path, "p/1/a_b.tif", "p/1/a/_b.tif")
    with pytest.raises(InputError, match="have the same key"):
        paired(tmp_path, images="p/**/*_b.tif")
