"""Real data from many sensors: `sensam check` tells what their makers tell, and nothing is wrong that is right."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensam.data.checks import Inspection, inspect
from sensam.data.dataset import open_dataset

REAL = Path(os.environ.get("SENSAM_REAL_DATA", Path(__file__).parents[2] / "../shared/data")).resolve()
DEFINITIONS = sorted((Path(__file__).parent / "real").glob("*.yaml"))
FOLDERS = sorted(path.name for path in REAL.iterdir() if path.is_dir()) if REAL.is_dir() else []

BIG = ("mri3_lgg", "rgb_bsds500", "water12_hls", "water12_hls_all_bands", "worldcover12_hls")  # seconds each

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the small real data sets are not here")


@pytest.fixture(autouse=True)
def _where_the_data_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENSAM_REAL_DATA", str(REAL))


@cache
def inspected(name: str) -> tuple[Inspection, Any]:
    """What is found, and what the maker of the folder says."""
    inspection = inspect(open_dataset(Path(__file__).parent / f"real/{name}.yaml"))
    meta = json.loads((inspection.survey.dataset.spec.root / "meta.json").read_text())
    return inspection, meta


def warned(inspection: Inspection) -> set[str]:
    return {name for problem in inspection.warnings for name in problem.files if "nearly contains" in problem.found}


def test_every_folder_has_a_definition() -> None:
    roots = {
        line.rsplit("/", 1)[1] for path in DEFINITIONS for line in path.read_text().splitlines() if "root:" in line
    }
    assert roots == set(FOLDERS)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path.stem in BIG else [], id=path.stem) for path in DEFINITIONS],
)
def test_nothing_is_wrong_with_them(path: Path) -> None:
    inspection, _ = inspected(path.stem)
    assert [str(problem) for problem in inspection.errors] == []
    assert inspection.survey.unreadable == []
    if "all_bands" not in path.stem:
        assert all("class " in problem.found for problem in inspection.warnings)


@pytest.mark.slow
def test_water_shares_of_every_image() -> None:
    inspection, meta = inspected("water12_hls")
    found = {facts.item.key: facts for facts in inspection.survey.items}
    assert len(found) == len(meta["samples"]) == 156
    for sample in meta["samples"]:
        facts = found[sample["id"]]
        assert facts.item.split == sample["split"].removeprefix("dev/")
        assert facts.size == tuple(meta["shape"][1:])
        assert facts.info.dtype == meta["dtype"]
        assert facts.counts_K[1] / facts.counts_K.sum() == pytest.approx(sample["water"], abs=1e-5)


@pytest.mark.slow
def test_the_bands_that_nearly_contain_the_label_are_told_and_no_others() -> None:
    inspection, meta = inspected("water12_hls_all_bands")
    assert {"worldcover", "water_occurrence"} <= warned(inspection) <= {"qa_fmask", "worldcover", "water_occurrence"}
    assert "10-11" in meta["leak_warning"]
    assert any("-9999" in problem.found and "merit_dem" in problem.found for problem in inspection.warnings)
    assert warned(inspected("water12_hls")[0]) == set()


@pytest.mark.slow
def test_land_cover_fed_as_a_band_is_told(tmp_path: Path) -> None:
    """The band from which the label was made, under the label that was made from it."""
    text = (Path(__file__).parent / "real/worldcover12_hls.yaml").read_text()
    (tmp_path / "all.yaml").write_text(text.replace("swir1, swir2]", "swir1, swir2, worldcover]"))
    assert warned(inspect(open_dataset(tmp_path / "all.yaml"))) == {"worldcover"}


@pytest.mark.slow
def test_land_cover_classes_are_stored_as_tens() -> None:
    inspection, meta = inspected("worldcover12_hls")
    assert list(inspection.survey.dataset.classes) == list(meta["classes"]["worldcover"].values())
    assert sum(inspection.survey.counts(split).sum() for split in ("train", "val")) == 156 * 128 * 128


def test_flood_shares_nodata_and_nan() -> None:
    inspection, meta = inspected("s1_flood_sen1floods11")
    for facts, sample in zip(inspection.survey.items, meta["samples"], strict=True):
        assert facts.item.key == sample["id"]
        ignored = facts.counts_K[-1] / facts.counts_K.sum()  # what nobody labelled, or no radar saw
        assert max(sample["ignore"], sample["nan"]) - 1e-4 <= ignored <= sample["ignore"] + sample["nan"] + 1e-4
        assert facts.counts_K[1] / max(1, facts.counts_K[:-1].sum()) == pytest.approx(
            sample["water_of_valid"], abs=0.002
        )
        assert 1 - facts.valid_C.min() == pytest.approx(sample["nan"], abs=5e-4)


def test_crops_and_weeds() -> None:
    inspection, meta = inspected("crop_weed_nir2")
    for facts, sample in zip(inspection.survey.items, meta["samples"], strict=True):
        shares = facts.counts_K / facts.counts_K.sum()
        assert shares[1] == pytest.approx(sample["crop"], abs=1e-4)
        assert shares[2] == pytest.approx(sample["weed"], abs=1e-4)
        assert facts.size == tuple(meta["shape"][1:])


@pytest.mark.parametrize("scene", ["samson", "moffett"])
def test_hyperspectral_scenes_with_dense_labels(scene: str) -> None:
    inspection, meta = inspected(f"hsi_unmixing_{scene}")
    facts = meta["scenes"][scene]
    rows, columns, bands = facts["shape"]
    sizes = [entry.size for entry in inspection.survey.items]
    assert (sum(size[0] for size in sizes), sizes[0][1]) == (rows, columns)
    assert len(inspection.survey.bands) == bands
    total = inspection.survey.counts("train") + inspection.survey.counts("val")
    assert total[:-1].tolist() == list(facts["pixels"].values())


@pytest.mark.parametrize(("scene", "name"), [("hydice_urban", "hydice"), ("abu_beach_4", "abu_beach")])
def test_small_targets(scene: str, name: str) -> None:
    inspection, meta = inspected(f"hsi_small_targets_{name}")
    facts = meta["scenes"][scene]
    (item,) = inspection.survey.items
    assert [*item.size, len(inspection.survey.bands)] == facts["shape"]
    assert item.info.dtype == facts["dtype"]
    assert item.counts_K[1] == facts["target_px"]


@pytest.mark.slow
def test_tumours_and_patients_apart() -> None:
    inspection, meta = inspected("mri3_lgg")
    found = {facts.item.key: facts for facts in inspection.survey.items}
    assert set(found) == {sample["id"] for sample in meta["samples"]}
    patients: dict[str, set[str]] = {"train": set(), "val": set()}
    for sample in meta["samples"]:
        assert found[sample["id"]].counts_K[1] == sample["tumour_px"]
        patients[found[sample["id"]].item.split].add(sample["patient"])
    assert not patients["train"] & patients["val"]


def test_radar_amplitudes() -> None:
    inspection, meta = inspected("sar_gaofen3_quadpol")
    dataset = inspection.survey.dataset
    assert list(dataset.sensor.band_names) == meta["bands"]
    for item, sample in zip(dataset.items("unlabelled"), meta["samples"], strict=True):
        assert item.key == sample["id"]
        assert np.allclose(dataset.read(item).pixels_CHW.mean((1, 2)), sample["mean"], atol=0.06)


@pytest.mark.slow
def test_photographs() -> None:
    inspection, meta = inspected("rgb_bsds500")
    assert {facts.size for facts in inspection.survey.items} == {(321, 481), (481, 321)}
    assert {facts.item.key for facts in inspection.survey.items} == {sample["id"] for sample in meta["samples"]}


def test_a_panorama() -> None:
    street, facts = inspected("pano_pass_street")
    assert [street.survey.items[0].size] == [tuple(facts["shape"][1:])]
    assert street.survey.dataset.sensor.geometry == "equirectangular"
