"""Entries that differ only in how they use labels may begin from the same inherited students, and no others may."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensam.errors import SettingsError
from sensam.evaluate.compare.cell import Bench
from sensam.evaluate.compare.gather import gather
from sensam.evaluate.compare.plan import Plan
from sensam.evaluate.compare.runner import prepare, work

MakePlan, MakeBench = Callable[..., Plan], Callable[[Plan], Bench]
OWN = {"method": "e2sam"}


@pytest.mark.slow
def test_who_begins_from_anothers_students_ends_where_own_ones_would_have_led(
    make_plan: MakePlan, make_bench: MakeBench, runs: list[str]
) -> None:
    detailed = {"method": "e2sam", "settings": {"detail": True}}
    entries = {"borrows": {**detailed, "students_of": "plain"}, "plain": OWN, "repeats": detailed}
    bench = make_bench(make_plan(entries=entries, control=False))
    work(bench)
    inherited = [name for name in runs if "inherit" in name]
    assert inherited == ["plain.inherit.seed0", "repeats.inherit.seed0"]
    found = gather(bench.plan, bench.folder)
    confusions = {entry: found.evidence[entry, 0, 1.0].confusion_NKK for entry in entries}
    assert np.array_equal(confusions["borrows"], confusions["repeats"])
    assert not np.array_equal(confusions["borrows"], confusions["plain"])
    costs = {entry: found.records[entry, 0, 1.0].costs for entry in entries}
    assert costs["borrows"].seconds["inherit"] == costs["plain"].seconds["inherit"] > 0
    assert costs["borrows"].steps == costs["repeats"].steps
    kept = {each.name for run in (bench.folder / "runs").iterdir() for each in run.iterdir()}
    assert "model" in kept
    assert "checkpoints" not in kept


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"students_of": "nobody"}, r"students of 'nobody'; the entries with students are \['plain'\]"),
        ({"students_of": "other"}, "students of 'other'; the entries with students are"),
        ({"students_of": "plain", "bands": ["depth"]}, "differs from it in bands"),
        ({"students_of": "plain", "method": "scratch"}, "differs from it in method"),
        ({"students_of": "plain", "inherit_steps": 7}, "differs from it in inherit_steps"),
    ],
)
def test_students_of_another_kind_are_refused(make_plan: MakePlan, own: dict[str, Any], complaint: str) -> None:
    entries = {"plain": OWN, "other": {**OWN, **own}}
    with pytest.raises(SettingsError, match=complaint):
        make_plan(entries=entries)


def test_what_is_found_out_for_each_entry_may_not_shape_students_of_two(make_plan: MakePlan) -> None:
    two = {"plain": OWN, "other": {**OWN, "students_of": "plain"}}
    with pytest.raises(SettingsError, match="set inherit_steps where minutes are the budget"):
        make_plan(entries=two, minutes=1)
    assert make_plan(entries=two, minutes=1, inherit_steps=3)
    tuned = {name: {**entry, "tune": {"rate": [1e-3, 1e-4]}} for name, entry in two.items()}
    with pytest.raises(SettingsError, match="leave out tune"):
        make_plan(entries=tuned)


def test_settings_that_shape_a_student_may_not_differ(make_plan: MakePlan, tmp_path: Path) -> None:
    entries = {"plain": OWN, "other": {**OWN, "students_of": "plain", "settings": {"triples": 2, "loss": "dice"}}}
    with pytest.raises(SettingsError, match=r"inherit with another triples\. Leave students_of out, or change class_"):
        prepare(make_plan(entries=entries), tmp_path)
