"""Reading, predicting and writing: in order, none twice, and between the model's passes only where that is wanted."""

import threading

import numpy as np
import pytest

from sensam.infer.schedule import Step, beside, between

STEPS = tuple(Step(row, (0,), True, ((row, 0, 4, 4),)) for row in range(7))


class Work:
    """Notes what happens, and whether anything else happens while the model computes."""

    def __init__(self, fails_at: int = -1) -> None:
        self.fails_at = fails_at
        self.events: list[tuple[str, int]] = []
        self.disturbed = False
        self.lock = threading.Lock()

    def note(self, what: str, row: int) -> None:
        with self.lock:
            self.events.append((what, row))

    def read(self, window):
        self.note("read", window[0])
        return np.full((1, 4, 4), window[0], np.float32), np.ones((4, 4), bool)

    def predict(self, tiles):
        row = int(tiles[0][0][0, 0, 0])
        before = len(self.events)
        threading.Event().wait(0.01)  # time for others to get in between, if they may
        self.disturbed |= len(self.events) != before
        self.note("predict", row)
        if row == self.fails_at:
            raise KeyboardInterrupt
        return [pixels_CHW for pixels_CHW, _ in tiles]

    def finish(self, step, valid, found):
        assert [int(found_CHW[0, 0, 0]) for found_CHW in found] == [step.row] * len(valid)
        self.note("finish", step.row)

    def rows(self, what: str) -> list[int]:
        return [row for event, row in self.events if event == what]


@pytest.mark.parametrize("schedule", [beside, between])
def test_everything_is_done_once_and_finished_in_order(schedule):
    work = Work()
    schedule(STEPS, work)
    assert sorted(work.rows("read")) == work.rows("predict") == work.rows("finish") == list(range(len(STEPS)))


def test_between_its_passes_the_model_has_the_processor_to_itself():
    alone, together = Work(), Work()
    between(STEPS, alone)
    beside(STEPS, together)
    assert not alone.disturbed
    assert together.disturbed


@pytest.mark.parametrize("schedule", [beside, between])
def test_what_was_predicted_before_a_failure_is_finished(schedule):
    work = Work(fails_at=5)
    with pytest.raises(KeyboardInterrupt):
        schedule(STEPS, work)
    assert work.rows("finish") == list(range(5))
