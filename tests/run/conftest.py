"""A small data set on disk, the same for every test."""

from pathlib import Path

import pytest

from sensam.data.synthetic import family, write


@pytest.fixture(scope="session")
def fog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five classes in sixteen bands: 5 scenes to learn from, 2 to validate on, 2 to test on."""
    folder = tmp_path_factory.mktemp("fog") / "data"
    write(family("seafog"), folder, seed=0, counts={"train": 5, "val": 2, "test": 2}, size=(48, 48))
    return folder
