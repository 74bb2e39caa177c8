"""Windows of which an image's coarsest map keeps one value: batch norm cannot learn from an image alone."""

import csv
from pathlib import Path
from typing import Any

import pytest

from sensam.data.synthetic import family, write
from sensam.errors import SettingsError
from sensam.run import train
from tests.tiny_sam import TINY

SHORT = {"batch": 2, "workers": 0, "epochs": 1, "log_every": 1, "validations": 1, "quiet": True, "track": ()}
CASES = [("scratch", TINY.patch), pytest.param("unet", 32, marks=pytest.mark.slow)]  # which is no tiny network


@pytest.mark.parametrize(("method", "size"), CASES)
def test_the_image_that_a_batch_would_be_left_with_joins_the_one_before(
    tiny_sam: Path, tmp_path: Path, method: str, size: int
) -> None:
    short: dict[str, Any] = {"method": method, "teacher": str(tiny_sam), "size": size, "length": 5, **SHORT}
    write(family("seafog"), tmp_path / "odd", seed=0, counts={"train": 5, "val": 1}, size=(max(16, size),) * 2)
    train(tmp_path / "odd", out=tmp_path / "run", **short)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2"]
    with pytest.raises(SettingsError, match=r"at least 2, found 1.*train\.batch=2"):
        train(tmp_path / "odd", out=tmp_path / "single", **short | {"batch": 1})
    assert not (tmp_path / "single").exists()


@pytest.mark.parametrize(("method", "size"), CASES)
def test_one_pixel_more_can_be_learnt_from_alone(tiny_sam: Path, tmp_path: Path, method: str, size: int) -> None:
    write(family("seafog"), tmp_path / "one", seed=0, counts={"train": 1}, size=(max(16, size + 1),) * 2)
    short: dict[str, Any] = {"method": method, "teacher": str(tiny_sam), **SHORT}
    train(tmp_path / "one", out=tmp_path / "run", size=size + 1, length=1, **short)
    assert (tmp_path / "run" / "metrics.json").is_file()
