"""A plan says everything that decides the numbers, and refuses what would make them unfair."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sensam.errors import InputError, SettingsError
from sensam.evaluate.compare.plan import Cell, Plan, keep_plan, parse_plan, read_plan

MakePlan = Callable[..., Plan]


def test_cells_are_every_combination_seed_by_seed(make_plan: MakePlan) -> None:
    plan = make_plan(methods=["scratch", "resam"], seeds=[4, 2], shares=[0.5, 1.0])
    assert list(plan.cells()) == [
        Cell(entry, seed, share) for seed in (4, 2) for share in (1.0, 0.5) for entry in ("scratch", "resam")
    ]
    assert Cell("scratch, equal total", 1, 0.1).name == "scratch--equal-total.labels10.seed1"


def test_an_entry_may_be_tried_at_some_shares_alone(make_plan: MakePlan) -> None:
    entries = {"a": {"method": "scratch"}, "b": {"method": "resam", "shares": [1.0]}}
    plan = make_plan(entries=entries, seeds=[0], shares=[1.0, 0.5])
    assert [(cell.entry, cell.share) for cell in plan.cells()] == [("a", 1.0), ("b", 1.0), ("a", 0.5)]


def test_what_must_be_common_cannot_be_an_entrys_own(make_plan: MakePlan) -> None:
    for name, value in {"size": 64, "augment": {}, "split": "test", "steps": 9, "label_share": 0.5}.items():
        with pytest.raises(SettingsError, match=f"{name} must be the same for every entry"):
            make_plan(entries={"mine": {"method": "scratch", "train": {name: value}}})
    with pytest.raises(SettingsError, match="batch must be the same"):
        make_plan(entries={"mine": {"method": "scratch", "tune": {"batch": [1, 2]}}})
    assert make_plan(entries={"mine": {"method": "scratch", "train": {"rate": 1e-3}}})


def test_a_papers_own_habits_do_not_reach_what_is_common(make_plan: MakePlan) -> None:
    common = make_plan(methods=["scratch"]).common()
    assert {"size", "batch", "fit", "augment", "split", "val_split", "length", "keep"} <= common.keys()
    assert not {"rate", "weight_decay", "steps", "label_share"} & common.keys()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"methods": ["scratch"], "minutes": 1, "steps": 2}, "give one of them"),
        ({"methods": []}, "entries"),
        ({"methods": "scratch"}, "must be a list of names"),
        ({"methods": ["scratch"], "seeds": [1, 1]}, "seeds must differ"),
        ({"methods": ["scratch"], "sharse": [1]}, "Did you mean 'shares'"),
        (
            {"entries": {"a": {"method": "scratch", "shares": [0.1]}}},
            r"entry a asks for shares \[0.1\], the plan has \[1.0\]",
        ),
        ({"methods": ["scratch"], "train": {"steps": 4}}, "use steps and shares"),
        ({"entries": {"a": {"method": "goodsam", "stages": {"distil": {"steps": 4}}}}}, "use steps and inherit_steps"),
        ({"entries": {"a b": {"method": "scratch"}, "a-b": {"method": "scratch"}}}, "clearer"),
    ],
)
def test_mistakes(make_plan: MakePlan, values: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        make_plan(**values)


def test_a_folder_keeps_one_plan(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan(methods=["scratch"])
    keep_plan(plan, tmp_path)
    assert read_plan(tmp_path / "plan.yaml").fingerprint() == plan.fingerprint()
    keep_plan(plan, tmp_path)
    with pytest.raises(InputError, match="holds a comparison with another plan"):
        keep_plan(make_plan(methods=["resam"]), tmp_path)


def test_seeds_as_a_number(make_plan: MakePlan) -> None:
    assert make_plan(methods=["scratch"], seeds=3).seeds == (0, 1, 2)
    assert parse_plan({"data": "d", "methods": ["scratch"], "steps": 1}, "p").seeds == (0, 1, 2)
