"""A run that is stopped from outside at a step that the test chooses."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sensam.train.checkpoint import Checkpoints
from sensam.train.loop import StageRun


@contextmanager
def stopped_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[None]:
    """What runs inside is interrupted after this step; from then on every step is saved."""
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)  # noqa: ARG005 - as it is called
    account = StageRun._account

    def stop(self: StageRun, epoch: int) -> None:
        account(self, epoch)
        if self.progress.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(StageRun, "_account", stop)
    with pytest.raises(KeyboardInterrupt):
        yield
    monkeypatch.setattr(StageRun, "_account", account)
