"""What a terminal shows of a stage while it learns, and what a file gets instead."""

import re
from io import StringIO

from rich.console import Console

from sensam.train.display import Display

ROW = {"name": "finetune", "step": 4, "rate": 3e-4, "loss": 0.5, "val_miou": 0.25}


def shown(*, terminal: bool) -> str:
    """Four of ten steps, of which two were done before."""
    file = StringIO()
    console = Console(force_terminal=terminal, file=file, width=160, color_system=None)
    display, clock = Display(console), iter(range(100))
    with display.stage("finetune", 10, 2):
        if display._bar:
            display._bar[0].get_time = lambda: 0.5 * next(clock)  # otherwise speed is a matter of the machine
        for step in (3, 4):
            display.advance(step)
        display.show(ROW)
    return file.getvalue()


def test_a_terminal_shows_speed_time_left_and_rate() -> None:
    text = shown(terminal=True)
    assert "4/10" in text
    assert re.search(r"\d steps/s +-?\d:\d\d:\d\d", text)
    assert "rate 0.0003  loss 0.5  val miou 0.25" in text


def test_a_file_gets_a_line_for_each_validation_alone() -> None:
    assert shown(terminal=False) == "finetune step 4: rate 0.0003  loss 0.5  val miou 0.25\n"
    assert Display().console is None
