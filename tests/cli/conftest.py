"""The command line as a user types it."""

import sys
from collections.abc import Callable

import pytest

from sensam.cli.app import main

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line with these words; its exit code."""

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["sensam", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    return call
