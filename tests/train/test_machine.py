"""Two processes learn what one learns on their batches together, to the last uneven step; and agree with each other."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sensam.config import MachineSettings
from sensam.errors import SettingsError
from sensam.train.machine import start_machine
from tests.train.together import teach

ROOT = Path(__file__).parents[2]


def rows(folder: Path, stage: int) -> list[dict[str, str]]:
    with (folder / f"stage-{stage}" / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def start_two(folder: Path, method: str) -> tuple[int, str]:
    """The exit code of two processes that train a method together, and what they said."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.train.together", str(folder), method]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("w") as said:
        launched = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=said, start_new_session=True)
        try:
            code = launched.wait(timeout=240)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)  # the second process as well
            raise
    return code, (folder / "said").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "near"), [("tiny", 1e-5), ("e2sam", 1e-4)])
def test_two_processes_learn_what_one_learns_on_the_joint_batch(tmp_path: Path, method: str, near: float) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    teach(alone, method, world=1, batch=4, accumulate=2)
    code, said = start_two(together, method)
    assert code == 0, said
    single = torch.load(alone / "weights-0.pt", weights_only=True)
    first, second = (torch.load(together / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, weight in single.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=f"ranks differ in {name}")
        if method == "e2sam" and name.endswith(".bias"):
            continue  # a norm or a softmax takes some out again; of a gradient that is rounding AdamW makes steps
        torch.testing.assert_close(
            first[name], weight, rtol=0, atol=near, msg=lambda text, name=name: f"{name}: {text}"
        )
    for stage in (0, 1):
        for ours, theirs in zip(rows(together, stage), rows(alone, stage), strict=True):
            assert ours.keys() == theirs.keys()
            for column, value in ours.items():
                if column != "name" and not column.startswith("picked"):  # told of samples, weighed as losses are
                    assert float(value) == pytest.approx(float(theirs[column]), abs=near, nan_ok=True), column


@pytest.mark.slow
def test_one_process_that_runs_out_of_memory_says_so(tmp_path: Path) -> None:
    code, said = start_two(tmp_path / "together", "starved")
    assert code != 0
    assert "SettingsError: Memory ran out in stage inherit with batch 2 at size 8." in said
    assert "--set train.batch=1 --set train.accumulate=4 for the same steps" in said


def test_what_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SettingsError, match="--devices and --accelerator"):
        start_machine(MachineSettings(accelerator="cuda"))


def test_a_number_of_devices_that_lightning_refuses_by_type_is_said() -> None:
    odd = MachineSettings(accelerator="cpu").model_copy(update={"devices": -1})
    with pytest.raises(SettingsError, match="--devices and --accelerator"):
        start_machine(odd)
