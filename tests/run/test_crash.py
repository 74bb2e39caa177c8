"""A run that is killed at any moment and resumed ends as if nothing had happened, bit for bit."""

import json
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sensam.run import train

TINY, MIXED = "tests.train.tiny:Tiny", "tests.train.tiny:Mixed"
LONG = {"size": 32, "batch": 2, "workers": 0, "epochs": 6, "save_every": 1, "log_every": 2, "validations": 3}


def run(data: Path, out: Path, **more: Any) -> None:
    train(data, out=out, quiet=True, track=(), **{"method": TINY, **LONG, **more})


def outcome(out: Path) -> tuple[bytes, str, Any]:
    """What must not depend on how often a run was interrupted."""
    return (
        (out / "model" / "model.safetensors").read_bytes(),
        (out / "log.csv").read_text(),
        json.loads((out / "metrics.json").read_text())["stages"],
    )


@pytest.mark.slow
@pytest.mark.parametrize(("method", "times"), [(TINY, 8), ("e2sam", 4)])
def test_killed_at_random_moments_it_ends_the_same(
    fog: Path, tmp_path: Path, tiny_sam: Path, method: str, times: int
) -> None:
    chosen = {"method": method, "teacher": str(tiny_sam)}
    started = time.perf_counter()
    run(fog, tmp_path / "whole", **chosen)
    whole = time.perf_counter() - started  # so that a quick machine is interrupted as well
    dice = random.Random()  # another moment every time: the promise holds for all of them
    own = multiprocessing.get_context("fork")  # so that the child need not import everything again
    broken, interrupted = tmp_path / "broken", 0
    for _ in range(30):
        child = own.Process(target=run, args=(fog, broken), kwargs={"resume": True, **chosen})
        child.start()
        child.join(dice.uniform(0.05, 0.5) * whole if interrupted < times else 100)
        if child.exitcode is not None:
            break
        child.kill()  # SIGKILL
        child.join()
        interrupted += 1
    assert child.exitcode == 0
    assert interrupted
    assert outcome(broken) == outcome(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_stopped_in_the_middle_of_an_epoch_it_ends_the_same(
    fog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    """As above without luck: it stops right after the checkpoint of a step inside an epoch, twice."""
    from sensam.train.checkpoint import Checkpoints
    from sensam.train.loop import StageRun

    if optimiser == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    short = {"epochs": 2, "accumulate": 1, "batch": 1, "method": MIXED, "optimiser": optimiser}
    run(fog, tmp_path / "whole", **short)
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)  # noqa: ARG005 - as it is called
    account = StageRun._account
    stops = iter([(0, 3), (1, 7), None])

    for stop in stops:

        def until(self: StageRun, epoch: int, stop: tuple[int, int] | None = stop) -> None:
            account(self, epoch)
            if stop == (self.lesson.number, self.progress.step):
                raise KeyboardInterrupt

        monkeypatch.setattr(StageRun, "_account", until)
        if stop is None:
            run(fog, tmp_path / "broken", resume=True, **short)
        else:
            with pytest.raises(KeyboardInterrupt):
                run(fog, tmp_path / "broken", resume=True, **short)
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")
