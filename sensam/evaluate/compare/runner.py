"""Run a comparison: settle entries, train all cells, and only then open the test split."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sensam.config import MachineSettings
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.windows import lay_out
from sensam.errors import InputError, SensamError, SettingsError
from sensam.evaluate.compare.cell import Bench, examine_cell, train_cell
from sensam.evaluate.compare.plan import Cell, Plan, keep_plan, read_plan
from sensam.evaluate.compare.queue import Queue
from sensam.evaluate.compare.settle import settle, with_control
from sensam.files import write_text
from sensam.train.display import Display

BLOCK = 1024  # pixels on a side of what is read at once in search of a label
PAUSE = 1.0  # seconds between two looks at what others are doing

Say = Callable[[str], None]


def prepare(plan: Plan, folder: Path) -> Plan:
    """Check the plan against the data, add the control, and write it down; the plan that is run."""
    if (folder / "plan.yaml").is_file() and _same_but_for_control(plan, read_plan(folder / "plan.yaml")):
        return read_plan(folder / "plan.yaml")
    dataset = open_dataset(plan.data)
    for split in (plan.train.split, plan.train.val_split, plan.test_split):
        if split not in dataset.splits:
            raise InputError(
                f"{dataset.name} has no split {split!r}, and a comparison needs one to train, one to choose by and one "
                f"to test on. It has {', '.join(dataset.splits)}; name others with --set train.val_split=... "
            )
        dataset.labelled(split)
    if len(dataset.items(plan.test_split)) < 2:
        raise InputError(f"Split {plan.test_split} of {dataset.name} has one image; a paired test needs two or more.")
    _check_any_label(dataset, plan.test_split)
    _check_apart((plan.train.split, plan.train.val_split, plan.test_split))
    plan = with_control(plan, folder)
    keep_plan(plan, folder)
    return plan


def _same_but_for_control(plan: Plan, kept: Plan) -> bool:
    if plan.fingerprint() == kept.fingerprint():
        return True
    bare = {name: entry for name, entry in kept.entries.items() if name in plan.entries}
    return plan.fingerprint() == kept.model_copy(update={"entries": bare}).fingerprint()


def _check_any_label(dataset: Dataset, split: str) -> None:
    """Masks without a labelled pixel would be found out only after all training. Stops at the first pixel it finds."""
    for item in dataset.items(split):
        for window in lay_out(*dataset.size(item), BLOCK):
            label_HW = dataset.read_label(item, window)
            if label_HW is not None and (label_HW != dataset.ignore).any():
                return
    raise InputError(
        f"No pixel of split {split} of {dataset.name} is labelled, and a comparison is decided on it. Label some of "
        "its images, or name another split with --set test_split=..."
    )


def _check_apart(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise SettingsError(
            f"Training, validation and test are {', '.join(names)}: they must be three different splits, or the test "
            "split would not be untouched."
        )


def work(bench: Bench, say: Say = lambda _: None) -> None:
    """Compute whatever of the comparison nobody else computes, until all of it is done."""
    cells = list(bench.plan.cells())
    _until_done(bench, cells, ".json", "train", lambda cell: _train(bench, cell), say)
    trained = [cell for cell in cells if bench.file(cell, ".json").is_file()]
    _check_sealed(bench, cells)
    _until_done(bench, trained, ".test.json", "test", lambda cell: _examine(bench, cell), say)
    bench.queue.sweep()


def _check_sealed(bench: Bench, cells: Sequence[Cell]) -> None:
    """Nothing looks at the test split while a cell could still be trained or tuned."""
    unfinished = [cell.name for cell in cells if not _is_done(bench, cell, ".json")]
    assert not unfinished, f"the test split would be opened before {unfinished[0]} is trained"


def _train(bench: Bench, cell: Cell) -> bool:
    settled = settle(bench, cell.entry)
    return settled is not None and train_cell(bench, cell, settled)


def _examine(bench: Bench, cell: Cell) -> bool:
    examine_cell(bench, cell)
    return True


def _is_done(bench: Bench, cell: Cell, suffix: str) -> bool:
    return bench.file(cell, suffix).is_file() or bench.file(cell, ".failed").is_file()


def _until_done(
    bench: Bench, cells: Sequence[Cell], suffix: str, purpose: str, compute: Callable[[Cell], bool], say: Say
) -> None:
    """Take cells that nobody works on; wait where others work on all that are left."""
    while left := [cell for cell in cells if not _is_done(bench, cell, suffix)]:
        advanced = False
        for cell in left:
            with bench.queue.claim(f"{purpose}.{cell.name}") as is_mine:
                if not is_mine or _is_done(bench, cell, suffix):
                    continue
                try:
                    if compute(cell):
                        advanced = True
                        done = sum(_is_done(bench, each, suffix) for each in cells)
                        labels = f"labels {100 * cell.share:g} %"
                        say(f"{purpose} {done}/{len(cells)}: {cell.entry}, seed {cell.seed}, {labels}")
                except SensamError as mistake:
                    advanced = True
                    write_text(bench.file(cell, ".failed"), f"{mistake}\n")
                    say(f"left out: {cell.entry}, seed {cell.seed}: {mistake}")
        if not advanced:
            time.sleep(PAUSE)


def open_bench(plan: Plan, folder: Path, machine: MachineSettings, display: Display) -> Bench:
    """The comparison in a folder."""
    return Bench(plan, folder, Queue(folder / "cells"), machine, display)


def work_together(bench: Bench, jobs: int, say: Say = lambda _: None) -> None:
    """`work` in this process and others, which share out the threads that it would have had alone."""
    alone = torch.get_num_threads()
    threads = max(1, alone // jobs)
    torch.set_num_threads(threads)
    helpers = [_start_helper(bench, threads) for _ in range(jobs - 1)]
    try:
        work(bench, say)
        for helper in helpers:
            helper.wait()
    finally:
        for helper in helpers:
            helper.terminate()
        torch.set_num_threads(alone)  # or the next comparison of this process would divide what is left


def _start_helper(bench: Bench, threads: int) -> subprocess.Popen[bytes]:
    words = ["compare", str(bench.folder / "plan.yaml"), "--out", str(bench.folder), "--worker"]
    machine = ["--accelerator", bench.machine.accelerator, "--precision", bench.machine.precision]
    return subprocess.Popen(
        [sys.executable, "-m", "sensam", *words, *machine],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
    )


def forget_failures(folder: Path) -> None:
    """Let cells that failed be tried again."""
    for path in (folder / "cells").glob("*.failed"):
        path.unlink()
