"""The STAC item of a model has what STAC 1.1 and the extensions that it names ask for.

Written down here from their schemas, since those are on the network.
"""

import json
import re
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sensam.export.stac import write_item
from sensam.sensors import load_sensor
from tests.infer.mapmaking import COLOURS, network, segmenter, sensor

TASKS = {"regression", "classification", "segmentation", "semantic-segmentation", "instance-segmentation"}
EXTENSIONS = {"mlm": r"1\.4\.\d+", "eo": r"2\.\d+\.\d+", "classification": r"2\.\d+\.\d+", "processing": r"1\.2\.\d+"}
PREFIXES = {"mlm": "mlm:", "eo": "eo:", "classification": "classification:", "processing": "processing:"}


def known() -> Any:
    whole = load_sensor("sentinel2-l2a")
    chosen = whole.select(whole.band_names[:3])
    return chosen.with_statistics([500.0] * 3, [250.0] * 3)


def item_of(folder: Path, **facts: Any) -> dict[str, Any]:
    assets = {"model": folder / "toy.onnx", "config": folder / "config.json"}
    path = write_item(segmenter(network(3), **facts), folder / "item.json", assets, side=32)
    return json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))


@pytest.fixture(params=["plain", "known"])
def item(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "plain":
        return item_of(tmp_path, sensor=sensor(), name="tests.methods:Odd one")
    return item_of(tmp_path, sensor=known(), resolution=10.0)


def test_it_is_an_item_of_stac(item: dict[str, Any]) -> None:
    assert item["type"] == "Feature"
    assert re.fullmatch(r"1\.1\.\d+", item["stac_version"])
    assert re.fullmatch(r"[\w-]+", item["id"])
    assert item["geometry"] is None
    assert "bbox" not in item  # is for items that have a geometry
    facts = item["properties"]
    assert facts["datetime"] is None  # then both ends are needed
    times = [
        datetime.fromisoformat(facts[name].replace("Z", "+00:00"))
        for name in ("start_datetime", "created", "end_datetime")
    ]
    assert all(one < other for one, other in pairwise(times))
    assert item["links"] == []
    for asset in item["assets"].values():
        assert asset["href"].startswith("./")
        assert re.match(r"\w+/[\w.+-]+", asset["type"])
    for band in facts["bands"]:
        assert band["name"]


def test_every_extension_that_is_used_is_named_and_no_other(item: dict[str, Any]) -> None:
    named = {}
    for address in item["stac_extensions"]:
        found = re.fullmatch(r"https://stac-extensions\.github\.io/([\w-]+)/v([\d.]+)/schema\.json", address)
        assert found, address
        assert re.fullmatch(EXTENSIONS[found[1]], found[2])
        named[found[1]] = found[2]
    text = json.dumps({"properties": item["properties"], "assets": item["assets"]})
    assert {name for name, prefix in PREFIXES.items() if f'"{prefix}' in text} == set(named)


def test_it_has_what_the_model_extension_requires(item: dict[str, Any]) -> None:
    facts = item["properties"]
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", facts["mlm:name"])
    assert facts["mlm:architecture"]
    assert set(facts["mlm:tasks"]) <= TASKS
    assert facts["mlm:framework"] in {"PyTorch", "ONNX"}
    assert isinstance(facts["mlm:total_parameters"], int)
    (given,), (made,) = facts["mlm:input"], facts["mlm:output"]
    assert given["name"]
    assert made["name"]
    assert set(made["tasks"]) <= TASKS
    for structure in (given["input"], made["result"]):
        assert len(structure["shape"]) == len(structure["dim_order"]) == len(set(structure["dim_order"]))
        assert all(isinstance(side, int) and side >= -1 for side in structure["shape"])
        assert all(re.fullmatch(r"[a-z_-]+", axis) for axis in structure["dim_order"])
        assert structure["data_type"] in {"float32", "float16"}
    assert given["bands"] == [band["name"] for band in facts["bands"]]
    assert given["input"]["shape"][1] == len(given["bands"]) == len(given["value_scaling"])
    assert {"type", "mean", "stddev"} == set(given["value_scaling"][0])
    assert given["resize_type"] is None


def test_at_least_one_asset_is_the_model(item: dict[str, Any]) -> None:
    models = [asset for asset in item["assets"].values() if "mlm:model" in asset["roles"]]
    assert [asset["mlm:artifact_type"] for asset in models] == ["onnx"]


def test_classes_keep_their_names_beside_those_that_the_extension_allows(tmp_path: Path) -> None:
    model = segmenter(network(3))
    odd = ("sea fog", "Wald/Forst", "été", "...")
    path = write_item(replace(model, classes=odd), tmp_path / "item.json", {"model": tmp_path / "toy.pt2"}, side=32)
    classes = json.loads(path.read_text())["properties"]["mlm:output"][0]["classification:classes"]
    assert tuple(entry["title"] for entry in classes) == odd
    assert [entry["value"] for entry in classes] == [0, 1, 2, 3]
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", entry["name"]) for entry in classes)
    assert all(re.fullmatch(r"[0-9A-F]{6}", entry["color_hint"]) for entry in classes)
    assert len(classes) == len(COLOURS)


def test_ground_resolution_and_wavelengths_are_told_where_they_are_known(tmp_path: Path) -> None:
    facts = item_of(tmp_path, sensor=known(), resolution=10.0)["properties"]
    assert facts["gsd"] == 10
    assert 0.4 < facts["bands"][0]["eo:center_wavelength"] < 0.5  # micrometres
    assert "gsd" not in item_of(tmp_path, sensor=sensor())["properties"]
