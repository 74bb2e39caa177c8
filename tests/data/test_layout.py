"""dataset.yaml: what it may say, its short forms, and what is answered to a mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sensam.data.layout import parse_colour, parse_spec, read_mapping
from sensam.errors import InputError, SettingsError

PLAIN: dict[str, Any] = {
    "sensor": {"name": "two", "bands": ["a", "b"]},
    "images": "images/{split}/*.tif",
    "masks": "masks/{split}/*.png",
    "classes": ["land", {"name": "water", "color": "#0000ff"}],
    "splits": ["train", "val"],
}


def parse(**changes: Any) -> Any:
    return parse_spec(PLAIN | changes, base=Path("/data"))


def test_short_forms_are_written_out() -> None:
    spec = parse(label="palette", domains={"night": "n*"})
    assert spec.images["image"].files == "images/{split}/*.tif"
    assert spec.masks is not None
    assert spec.masks.files == "masks/{split}/*.png"
    assert [entry.name for entry in spec.classes] == ["land", "water"]
    assert spec.colours[1] == (0, 0, 255)
    assert spec.splits["val"].folder == "val"
    assert spec.label.codec == "palette"
    assert spec.domains == {"night": ("n*",)}
    assert spec.root == Path("/data")


def test_splits_take_folders_keys_shares_and_parts() -> None:
    assert parse(splits={"train": "train_all"}).splits["train"].folder == "train_all"
    flat = {"images": "*.tif", "masks": "*_mask.png"}
    assert parse(**flat, splits={"train": "north*", "val": ["a", "b"]}).splits["val"].keys == ("a", "b")
    assert parse(**flat, splits={"train": 0.8, "val": 0.2}).splits["val"].share == 0.2
    assert parse(**flat, splits={"train": {"rows": [0, 0.5]}}).splits["train"].rows == (0, 0.5)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"clases": ["land"]}, "There is no setting named 'clases'. Did you mean 'classes'?"),
        ({"label": {"chanel": 0}}, "There is no setting in label named 'chanel'. Did you mean 'channel'?"),
        ({"classes": [{"name": "a", "colr": "#ffffff"}]}, "Did you mean 'color'?"),
        ({"splits": {"train": {"row": [0, 1]}}}, "Did you mean 'rows'?"),
        ({"images": {"rgb": {"file": "*.tif"}}, "splits": {"a": "*"}}, "Did you mean 'files'?"),
        ({"sensor": {"name": "x", "bands": [{"name": "a", "wavelength": 3}]}}, "did you mean wavelength_nm?"),
        ({"sensor": "sentinel2"}, "There is no sensor named 'sentinel2'. Did you mean"),
        ({"classes": [{"name": "a", "colour": "red"}]}, "a colour is written '#rrggbb'"),
        ({"classes": ["a", "a"]}, "class names must differ"),
        ({"classes": []}, "masks without classes"),
        ({"ignore": 1}, "ignore is 1, which is class 'water'"),
        ({"label": "polygons"}, "needs label.uncovered"),
        ({"masks": "mask.tif", "images": "*.tif", "splits": {"a": "*"}}, "needs a *"),
        ({"images": "*.tif", "masks": "*.png"}, "no pattern of images has {split}"),
        ({"images": {"files": "*.tif", "scale": 2.0}, "splits": {"a": "*"}}, "scale and log1p go with `unpack`"),
        ({"masks": {"files": "*.png", "unpack": "rgb24"}}, "masks are not unpacked"),
        ({"label": {"codec": "palette", "channel": 0}}, "channel does nothing with label: palette"),
        ({"label": {"attribute": "kind"}}, "attribute does nothing with label: index"),
        ({"splits": {"train": 0.8, "val": 0.2}}, "shares deal the images of one folder"),
        ({"splits": {"train": {"rows": [0.5, 0.5]}}}, "rows is a part of the scene"),
        ({"images": None}, "images"),
        ({"root": "$NO_SUCH_VARIABLE/x"}, "uses $NO_SUCH_VARIABLE, which is not set"),
    ],
)
def test_a_mistake_is_answered_in_one_line(changes: dict[str, Any], answer: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(**changes)
    assert answer in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"sensor is missing"):
        parse_spec({"images": "*.tif"}, base=Path())


def test_environment_and_neighbouring_sensor_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_DATA", "/somewhere")
    (tmp_path / "own.yaml").write_text("name: own\nbands: [a]\n")
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump(PLAIN | {"root": "${SOME_DATA}/set", "sensor": "own.yaml"}))
    spec = parse_spec(read_mapping(path), base=tmp_path)
    assert spec.root == Path("/somewhere/set")
    assert spec.sensor.band_names == ("a",)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"dataset\.yaml"):
        read_mapping(path)


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("sensor: rgb\nimages: images\n masks: masks\n")
    with pytest.raises(InputError, match=r"dataset\.yaml cannot be read as YAML \(line 3: "):
        read_mapping(tmp_path / "dataset.yaml")


def test_what_is_stored_may_be_several_things() -> None:
    stored = [{"name": "a", "stored": 3}, {"name": "b", "stored": [1, 2, 4]}, {"name": "c", "stored": "#ff0000"}]
    spec = parse(classes=[*stored, {"name": "d", "stored": ["wood", "tree"]}])
    assert [entry.stored for entry in spec.classes] == [(3,), (1, 2, 4), ((255, 0, 0),), ("wood", "tree")]
    for wrong in (None, True, 1.5):
        with pytest.raises(SettingsError, match=r"a stored value is|a colour is written"):
            parse(classes=[{"name": "a", "stored": wrong}])


DOCS = Path(__file__).parents[2] / "docs/data.md"


@pytest.mark.parametrize(
    "line", [line for line in DOCS.read_text().splitlines() if line.startswith(("splits:", "label:", "domains:"))]
)
def test_every_line_in_the_docs_is_understood(line: str) -> None:
    flat = {"images": "*.tif", "masks": "*_mask.png", "splits": {"all": "*"}}
    needs_folders = "[train" in line or "train_all" in line
    settings = PLAIN | ({} if needs_folders else flat) | yaml.safe_load(line)
    parse_spec(settings | {"classes": ["land", "water"]}, base=Path())


def test_the_example_in_the_docs_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    text = DOCS.read_text()
    example = text[text.index("```yaml\nname: fields") :].split("```")[1].removeprefix("yaml\n")
    assert parse_spec(yaml.safe_load(example), base=Path()).bands == ("B04", "B03", "B02", "B08")


def test_colours() -> None:
    assert parse_colour("#fF0080") == (255, 0, 128) == parse_colour([255, 0, 128])
    for wrong in ("ff0080", "#ff008", [1, 2], [0, 0, 256], None):
        with pytest.raises(ValueError, match="a colour is written"):
            parse_colour(wrong)
