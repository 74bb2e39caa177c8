"""A comparison is fair, opens the test split last, and goes on where it was killed without computing a cell twice."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
import yaml

from sensam.config import MachineSettings, read_settings
from sensam.data.stream import EvaluationStream, TrainingStream
from sensam.errors import InputError
from sensam.evaluate.compare import cell as cells
from sensam.evaluate.compare import runner
from sensam.evaluate.compare.cell import Bench
from sensam.evaluate.compare.gather import gather, report
from sensam.evaluate.compare.plan import CONTROL, Cell, Plan, keep_plan
from sensam.evaluate.compare.runner import prepare, work
from sensam.evaluate.compare.settle import settle
from sensam.evaluate.records import CellRecord
from sensam.evaluate.statistics import miou_of
from sensam.run import training
from tests.evaluate.report.test_comparison import read

MakePlan, MakeBench = Callable[..., Plan], Callable[[Plan], Bench]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each run was fed with labels: a hash of pixels, labels and names of every batch."""
    found: dict[str, list[str]] = defaultdict(list)
    original = training.training_loader

    def spy(dataset, stage, settings, **rest):  # type: ignore[no-untyped-def]
        loader = original(dataset, stage, settings, **rest)
        if stage.needs_labels:
            epoch = loader.epoch

            def watched(number: int, *, start: int = 0):  # type: ignore[no-untyped-def]
                for batch in epoch(number, start=start):
                    text = hashlib.sha256(batch.image_BCHW.numpy().tobytes() + batch.label_BHW.numpy().tobytes())
                    found[current[0]].append(f"{batch.keys} {text.hexdigest()}")
                    yield batch

            loader.epoch = watched
        return loader

    current = [""]
    train_cell = runner.train_cell

    def named(bench: Bench, cell: Cell, settled: cells.Settled) -> bool:
        current[0] = f"{cell.entry} {cell.seed}"
        return train_cell(bench, cell, settled)

    monkeypatch.setattr(training, "training_loader", spy)
    monkeypatch.setattr(runner, "train_cell", named)
    return found


@pytest.mark.slow
def test_every_method_learns_from_the_same_windows(
    make_plan: MakePlan, make_bench: MakeBench, seen: dict[str, list[str]]
) -> None:
    plan = make_plan(methods=["scratch", "e2sam", "resam"], seeds=2, steps=3, control=False)
    work(make_bench(plan))
    assert len(seen) == 6
    for seed in (0, 1):
        fed = {entry: seen[f"{entry} {seed}"] for entry in plan.entries}
        assert len(fed["scratch"]) == 3
        assert fed["scratch"] == fed["e2sam"] == fed["resam"]
    assert seen["scratch 0"] != seen["scratch 1"]


@pytest.mark.slow
def test_the_test_split_stays_closed_until_all_is_trained(
    make_plan: MakePlan, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    for kind in (TrainingStream, EvaluationStream):
        original = kind.__init__

        def watch(self, dataset, split, *rest, _original=original, **options):  # type: ignore[no-untyped-def]
            events.append(split)
            _original(self, dataset, split, *rest, **options)

        monkeypatch.setattr(kind, "__init__", watch)
    plan = make_plan(entries={"a": {"method": "scratch", "tune": {"rate": [1e-3, 1e-4]}}, "b": {"method": "resam"}})
    work(make_bench(plan))
    assert events.count("test") == 2
    assert events.index("test") == len(events) - 2


def test_a_worker_that_comes_early_may_not_test(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(methods=["scratch"]))
    with pytest.raises(AssertionError, match="would be opened before"):
        runner._check_sealed(bench, list(bench.plan.cells()))


@pytest.mark.slow
def test_two_stages_get_a_control_of_equal_total_budget(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(methods=["scratch", "e2sam"], inherit_steps=3, inherit={"rate": 2e-3}))
    assert list(bench.plan.entries) == ["scratch", "e2sam", CONTROL]
    work(bench)
    records = {name: record for (name, _, _), record in gather(bench.plan, bench.folder).records.items()}
    assert {name: "stages.inherit.rate=0.002" in record.command for name, record in records.items()} == {
        "scratch": False,
        "e2sam": True,
        CONTROL: False,
    }
    settings = {
        name: read_settings(bench.folder / "runs" / f"e2sam.{name}.seed0" / "run.yaml")
        for name in ("inherit", "labels100")
    }
    assert settings["inherit"]["stages"]["inherit"]["rate"] == 2e-3
    assert settings["labels100"]["stages"]["finetune"]["rate"] != 2e-3
    text = "".join(read(report(bench.plan, bench.folder, gather(bench.plan, bench.folder))).text)
    assert "Which bands inheritance looked at" in text
    assert f"scratch: 2 finetune; e2sam: 3 inherit, 2 finetune; {CONTROL}: 5 finetune" in text
    found = {name: record.costs.steps for name, record in records.items()}
    assert found == {"scratch": {"finetune": 2}, "e2sam": {"inherit": 3, "finetune": 2}, CONTROL: {"finetune": 5}}


@pytest.mark.slow
def test_inheritance_is_done_once_for_all_shares_of_labels(
    make_plan: MakePlan, make_bench: MakeBench, runs: list[str]
) -> None:
    bench = make_bench(make_plan(methods=["e2sam"], shares=[0.5, 1.0], control=False))
    work(bench)
    assert sorted(runs) == [
        "e2sam.inherit.seed0",
        "e2sam.labels100.seed0",
        "e2sam.labels50.seed0",
    ]


@pytest.mark.slow
def test_records_and_report(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(methods=["scratch", "resam"], seeds=2, shares=[0.5, 1.0]))
    said: list[str] = []
    work(bench, said.append)
    outcome = gather(bench.plan, bench.folder)
    page = report(bench.plan, bench.folder, outcome)
    assert len(said) == 16
    assert outcome.skipped == ()
    lines = (bench.folder / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    records = [CellRecord.model_validate_json(line) for line in lines]
    assert len(records) == 8
    assert page.stat().st_size > 20_000
    for record in records:
        key = (record.entry, record.seed, record.share)
        assert record.scores["test"].miou == pytest.approx(float(miou_of(outcome.evidence[key].confusion_NKK.sum(0))))
        assert record.scores["test"].images == 3
        assert tuple(record.scores["test"].iou) == outcome.classes
        assert record.scores["test"].domains
        assert record.device.startswith("cpu")
        assert record.costs.all_seconds > 0
        assert record.costs.peak_memory_mb > 50
        assert 0 < record.costs.trained <= record.costs.total
        assert record.costs.gflops is not None
        assert record.costs.gflops > 0
        assert len(record.data_hash) == 16
        assert {"sensam", "torch", "python"} == set(record.versions)
        assert record.command.startswith("sensam train ")
    assert not list((bench.folder / "cells").glob("*.claim"))
    text = "".join(read(page).text)
    for words in (
        f"hash {records[0].data_hash}",
        f"torch {records[0].versions['torch']}",
        "scratch: 2 finetune; resam: 2 finetune",
        "test opened after all training",
        shlex.join(["sensam", "compare", str(bench.folder / "plan.yaml"), "--out", str(bench.folder)]),
    ):
        assert words in text


@pytest.mark.slow
def test_a_second_run_computes_nothing(
    make_plan: MakePlan, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(methods=["scratch"])
    work(make_bench(plan))
    monkeypatch.setattr(cells, "run", lambda *_, **__: pytest.fail("a finished cell was trained again"))
    monkeypatch.setattr(cells, "measure", lambda *_, **__: pytest.fail("a finished cell was scored again"))
    work(make_bench(plan))


@pytest.mark.slow
def test_what_cannot_be_trained_is_left_out_and_said(
    make_plan: MakePlan, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = runner.train_cell

    def fail(bench: Bench, cell: Cell, settled: cells.Settled) -> bool:
        if cell.entry == "resam":
            raise InputError("no such luck")
        return original(bench, cell, settled)

    monkeypatch.setattr(runner, "train_cell", fail)
    bench = make_bench(make_plan(methods=["scratch", "resam"]))
    work(bench)
    outcome = gather(bench.plan, bench.folder)
    assert outcome.skipped == ("resam: no such luck",)
    assert set(outcome.complete(1.0)) == {"scratch"}
    runner.forget_failures(bench.folder)
    monkeypatch.setattr(runner, "train_cell", original)
    work(bench)
    assert gather(bench.plan, bench.folder).skipped == ()


@pytest.mark.slow
def test_tuning_asks_the_validation_split_and_is_used(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(entries={"tuned": {"method": "scratch", "tune": {"rate": [1e-5, 3e-2]}}}, steps=6))
    work(bench)
    found = settle(bench, "tuned")
    assert found is not None
    assert found.train["rate"] in (1e-5, 3e-2)
    run = yaml.safe_load((bench.folder / "runs" / "tuned.labels100.seed0" / "run.yaml").read_text())
    assert run["stages"]["finetune"]["rate"] == found.train["rate"]


@pytest.mark.slow
def test_minutes_become_steps(make_plan: MakePlan, make_bench: MakeBench) -> None:
    bench = make_bench(make_plan(methods=["scratch"], minutes=0.002))
    found = settle(bench, "scratch")
    assert found is not None
    assert found.steps >= 1
    assert not list((bench.folder / "runs").glob("*probe*"))
    assert settle(bench, "scratch") == found


@pytest.mark.slow
def test_killed_and_started_again_it_comes_to_the_same_numbers(
    make_plan: MakePlan, make_bench: MakeBench, tmp_path: Path
) -> None:
    plan = make_plan(methods=["scratch", "resam"], seeds=2, steps=4)
    straight = make_bench(plan)
    work(straight)
    folder, file = tmp_path / "killed", tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(plan.model_dump(mode="json", exclude_unset=True)))
    command = [sys.executable, "-m", "sensam", "compare", str(file), "--out", str(folder), "--worker"]
    process = subprocess.Popen(
        [*command, "--accelerator", "cpu"], stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.time() + 200  # on a busy machine starting alone takes a minute; usually it is a few seconds
    while not list((folder / "cells").glob("*.labels100.seed?.json")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.seed?.json")}
    assert 1 <= len(finished) < 4
    again = runner.open_bench(prepare(plan, folder), folder, straight.machine, straight.display)
    work(again)
    for path, changed in finished.items():
        assert path.stat().st_mtime_ns == changed
    for cell in plan.cells():
        first, second = (
            json.loads(bench.file(cell, ".test.json").read_text())["scores"] for bench in (straight, again)
        )
        assert first == second
    assert not list((folder / "cells").glob("*.claim"))


def test_jobs_divide_the_threads_and_give_them_back(
    make_plan: MakePlan, make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, seen = make_bench(make_plan(methods=["scratch"], control=False)), []
    helper = mock.Mock()
    monkeypatch.setattr(runner, "_start_helper", lambda _, threads: (seen.append(threads), helper)[1])
    monkeypatch.setattr(runner, "work", lambda *_: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    try:
        for _ in range(2):  # a benchmark compares on one data set after the other
            runner.work_together(bench, jobs=3)
        assert torch.get_num_threads() == 6
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 2, 2] * 2
    assert helper.wait.call_count == helper.terminate.call_count == 4


@pytest.mark.slow
def test_processes_share_a_comparison_and_find_what_one_finds(
    make_plan: MakePlan, make_bench: MakeBench, tmp_path: Path
) -> None:
    """Two processes by the command's own --jobs, and one more that comes along as another node would."""
    machine = MachineSettings(accelerator="cpu", precision="bf16")
    bench = replace(make_bench(make_plan(methods=["scratch", "e2sam"], seeds=2, inherit_steps=2)), machine=machine)
    work(bench)
    together = tmp_path / "together"
    keep_plan(bench.plan, together)
    words = [sys.executable, "-m", "sensam", "compare", str(together / "plan.yaml"), "--out", str(together)]
    words += ["--accelerator", "cpu", "--precision", "bf16"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    node = subprocess.Popen([*words, "--worker"], env=environment, stdout=subprocess.DEVNULL)
    first = subprocess.run([*words, "--jobs", "2"], env=environment, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert node.wait(60) == 0
    for cell in bench.plan.cells():
        one, many = (
            CellRecord.model_validate_json((folder / "cells" / f"{cell.name}.test.json").read_text())
            for folder in (bench.folder, together)
        )
        assert many.scores == one.scores
        assert many.costs.steps == one.costs.steps
    runs = list((together / "runs").glob("*/run.yaml"))
    assert {read_settings(run)["machine"]["precision"] for run in runs} == {"bf16"}, "helpers compute as they are told"
    assert not list((together / "cells").glob("*.failed"))
    assert (together / "report.html").is_file()
