"""What `sensam check` tells is true: numbers of bands, histograms, class shares and cost, against numpy."""

from io import StringIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from sensam.data.checks import Inspection, estimates, inspect
from sensam.data.checks.report import BARS, print_report, sparkline
from sensam.data.dataset import Dataset, open_dataset


def told(inspection: Inspection) -> list[str]:
    """The printed lines."""
    text = StringIO()
    print_report(inspection, Console(file=text, width=160, highlight=False))
    return text.getvalue().splitlines()


def everything(dataset: Dataset, split: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """All pixels of a split, bands first, and all labels."""
    items = dataset.items(split)
    pixels = np.concatenate([dataset.read(item).pixels_CHW.reshape(2, -1) for item in items], axis=1)
    labels = np.concatenate([np.ravel(dataset.read_label(item)) for item in items])  # type: ignore[arg-type]
    return pixels.astype(np.float64), labels.astype(np.uint8)


def test_the_report_tells_what_numpy_finds(make_set: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_gflop_per_second", lambda: 100.0)
    dataset = open_dataset(make_set({"train": 3, "val": 2}, size=40).yaml)
    inspection = inspect(dataset)
    lines = told(inspection)
    words = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert words["train"] == ["3", "3", "40", "x", "40", "100.0%", "uint16", "EPSG:32633"]
    assert words["val"][:2] == ["2", "2"]
    parts = {split: everything(dataset, split) for split in ("train", "val")}
    pixels_CP = np.concatenate([part[0] for part in parts.values()], axis=1)
    for name, values_P in zip(("band_0", "band_1"), pixels_CP, strict=True):
        unit, *numbers, histogram = words[name]
        expected = [
            values_P.mean(),
            values_P.std(),
            values_P.min(),
            *np.percentile(values_P, (2, 50, 98)),
            values_P.max(),
        ]
        assert unit == "DN"
        assert [float(number) for number in numbers] == pytest.approx(expected, rel=6e-4)
        assert set(histogram) <= set(BARS)
        assert histogram == sparkline(values_P.astype(np.float32))
    for number in range(2):
        shares = [f"{(labels == number).mean():.2%}" for _, labels in parts.values()]
        assert any(line.startswith(f"class {number}") and line.split()[-2:] == shares for line in lines)


def test_a_histogram_has_the_shape_of_its_numbers() -> None:
    even = sparkline(np.linspace(0, 1, 16_001, dtype=np.float32))
    assert len(set(even)) == 1
    hill = sparkline(np.random.default_rng(0).normal(0, 1, 50_000).astype(np.float32))
    heights = [BARS.index(bar) for bar in hill]
    assert heights[:8] == sorted(heights[:8])
    assert heights[8:] == sorted(heights[8:], reverse=True)
    assert sparkline(np.full(9, 3, np.float32)) == BARS[-1]
    assert sparkline(np.zeros(0, np.float32)) == ""


def test_memory_and_time_follow_from_pixels_and_the_processor(make_set: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for size, speed in ((32, 100.0), (64, 100.0), (64, 200.0)):
        monkeypatch.setattr(estimates, "_gflop_per_second", lambda speed=speed: speed)
        small = make_set({"train": 3, "val": 1}, size=size, folder=f"{size}-{speed}")
        found[size, speed] = inspect(open_dataset(small.yaml)).estimate
    little, much, fast = found.values()
    assert little is not None
    assert much is not None
    assert fast is not None
    assert (little.split, little.size, little.samples) == ("train", 32, 3)
    # ViT-B at 1024 x 1024: 980 GFLOP forwards, three times as much for a step.
    assert much.epoch_seconds == pytest.approx(3 * 3 * 980 * (64 / 1024) ** 2 / 100)
    assert much.epoch_seconds == pytest.approx(4 * little.epoch_seconds)
    assert fast.epoch_seconds == pytest.approx(much.epoch_seconds / 2)
    assert 1400 < little.step_mib < much.step_mib < 1500  # weights, gradients and AdamW's moments, and little else
    assert much.reading_seconds > 0


def test_a_scene_gives_as_many_samples_as_windows_fit(make_set: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "_gflop_per_second", lambda: 100.0)
    monkeypatch.setattr(estimates, "USUAL_SIZE", 32)
    cost = inspect(open_dataset(make_set({"train": 2, "val": 1}, size=100).yaml)).estimate
    assert cost is not None
    assert (cost.size, cost.samples) == (32, 2 * 3 * 3)
