"""What a person sees of a run: a bar with speed, time left and rate, or a line for each validation."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Row = Mapping[str, str | int | float]


class Display:
    """Shows progress on a console; silent without one."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console
        self._bar: tuple[Progress, TaskID] | None = None

    def say(self, line: str) -> None:
        """Print a line."""
        if self.console:
            self.console.print(line, soft_wrap=True, highlight=False)

    @contextmanager
    def stage(self, name: str, total: int, done: int) -> Iterator[None]:
        """Show the progress of one stage while it lasts."""
        if self.console is None or not self.console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[row]}"), console=self.console) as bar:
            self._bar = bar, bar.add_task(name, total=total, completed=done, row="")
            try:
                yield
            finally:
                self._bar = None

    def advance(self, step: int) -> None:
        """So many steps are done."""
        if self._bar:
            bar, task = self._bar
            bar.update(task, completed=step)

    def show(self, row: Row) -> None:
        """A row of the log."""
        text = _phrase(row)
        if self._bar:
            bar, task = self._bar
            bar.update(task, row=text)
        elif any(name.startswith("val_") for name in row):
            self.say(f"{row['name']} step {row['step']}: {text}")


class _Speed(ProgressColumn):
    """Steps per second, of this run of the command alone."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g} steps/s", style="progress.data.speed")


def _phrase(row: Row) -> str:
    """The rate, the loss, and what validation found, but for the scores of single classes."""
    shown = [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in row.items()
        if (name in ("rate", "loss") or (name.startswith("val_") and " " not in name)) and not isinstance(value, str)
    ]
    return "  ".join(shown)
