"""An entry may see less of the data set than the others."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sensam.data.dataset import open_dataset
from sensam.errors import SettingsError
from sensam.evaluate.compare.plan import Plan
from sensam.evaluate.compare.variant import data_of, hash_data

MakePlan = Callable[..., Plan]


def test_an_entry_may_see_fewer_bands_and_domains(make_plan: MakePlan, tmp_path: Path, drive_data: Path) -> None:
    domain = sorted(open_dataset(drive_data).spec.domains)[0]
    plan = make_plan(entries={"less": {"method": "scratch", "bands": ["red", "green"], "domains": [domain]}})
    whole, less = open_dataset(drive_data), open_dataset(data_of(plan.entries["less"], "less", plan, tmp_path))
    assert less.sensor.band_names == ("red", "green")
    assert {item.domain for item in less.items("train")} == {domain}
    assert len(less.items("train")) == sum(item.domain == domain for item in whole.items("train"))
    assert [item.key for item in less.items("test")] == [item.key for item in whole.items("test")]
    assert hash_data(less) != hash_data(whole)
    with pytest.raises(SettingsError, match="There is no domain"):
        data_of(plan.entries["less"].model_copy(update={"domains": ("noon",)}), "less", plan, tmp_path)


def test_an_entry_finds_data_whose_place_is_a_variable(
    make_plan: MakePlan, tmp_path: Path, drive_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE_DRIVE_IS", str(drive_data))
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text((drive_data / "dataset.yaml").read_text() + "root: ${WHERE_DRIVE_IS}\n")
    plan = make_plan(data=str(elsewhere), entries={"less": {"method": "scratch", "bands": ["red"]}})
    less = open_dataset(data_of(plan.entries["less"], "less", plan, tmp_path / "out"))
    assert less.items("train") == open_dataset(drive_data).items("train")
