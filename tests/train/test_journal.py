"""log.csv grows by rows, takes new columns, and loses what a resumed run will write again."""

import csv
from pathlib import Path

from sensam.train.journal import Journal


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def row(stage: int, step: int, **more: float) -> dict[str, float]:
    return {"stage": stage, "step": step, **more}


def test_rows_are_there_at_once_and_columns_may_come_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.csv")
    journal.add(row(0, 1, loss=0.5))
    assert read(tmp_path / "log.csv") == [{"stage": "0", "step": "1", "loss": "0.5"}]
    journal.add(row(0, 2, loss=0.25, val_miou=0.1))
    journal.add(row(0, 3, loss=0.125))
    assert [each["val_miou"] for each in read(tmp_path / "log.csv")] == ["", "0.1", ""]


def test_a_resumed_run_keeps_the_rows_its_checkpoint_has_seen(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.csv")
    for stage, step in [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]:
        journal.add(row(stage, step, loss=1.0))
    again = Journal(tmp_path / "log.csv", keep=(1, 1))
    again.add(row(1, 2, loss=2.0))
    assert [(each["stage"], each["step"]) for each in read(tmp_path / "log.csv")] == [
        ("0", "1"),
        ("0", "2"),
        ("1", "1"),
        ("1", "2"),
    ]


def test_a_row_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    journal = Journal(path)
    journal.add(row(0, 1, loss=1.0))
    journal.add(row(0, 2, loss=1.0))
    for cut in (b"0,", b"0", b"0,3"):
        path.write_bytes(path.read_bytes() + cut)
        Journal(path, keep=(0, 2))
        assert [each["step"] for each in read(path)] == ["1", "2"]


def test_a_run_that_starts_anew_begins_an_empty_log(tmp_path: Path) -> None:
    Journal(tmp_path / "log.csv").add(row(0, 1))
    Journal(tmp_path / "log.csv")
    assert read(tmp_path / "log.csv") == []
