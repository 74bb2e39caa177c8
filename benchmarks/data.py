"""Samples per second from tiles and from whole scenes, against a plain rasterio loop; waiting while a student learns.

The plain loop is what torchgeo's and most people's data sets do: open with rasterio, read, make float32, stack,
normalise the batch. It keeps no valid mask and looks at no nodata; ours does. It is given the windows that ours draws,
since other windows touch more or fewer of a file's blocks. Both run in turns in one process: only their ratio counts.

    python benchmarks/data.py --output benchmarks/results/data
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from torch.utils.data import DataLoader, Dataset

from sensam.data.augment import Augment
from sensam.data.dataset import Dataset as SensamDataset
from sensam.data.feed import Feed
from sensam.data.layout import parse_spec
from sensam.data.loader import Loader
from sensam.data.native import close_files, plain_planes, read_planes
from sensam.data.pairing import Item
from sensam.data.stream import TrainingStream

MEAN, STD = 1200.0, 600.0
CLASSES = 5
Place = tuple[Item, tuple[int, int, int, int]]
STILL = Augment()  # the plain loop changes nothing either


@dataclass(frozen=True)
class Case:
    """Files to read from, and the windows to take."""

    name: str
    bands: int
    dtype: str
    side: int  # of a file
    files: int
    window: int
    batch: int
    compress: str | None = "deflate"

    @property
    def is_scene(self) -> bool:
        return self.side > self.window


CASES = (
    Case("tiles, 12 bands of uint16, deflate", 12, "uint16", 256, 48, 256, 8),
    Case("tiles, 12 bands of uint16, uncompressed", 12, "uint16", 256, 48, 256, 8, None),
    Case("tiles, 3 bands of uint8, deflate", 3, "uint8", 512, 48, 512, 4),
    Case("tiles, 2 bands of float32, deflate", 2, "float32", 256, 48, 256, 8),
    Case("2000 tiles in one folder, 3 bands of uint8, deflate", 3, "uint8", 128, 2000, 128, 16),
    Case("scene, 12 bands of uint16, deflate", 12, "uint16", 4096, 1, 256, 8),
    Case("scene, 12 bands of uint16, uncompressed", 12, "uint16", 4096, 1, 256, 8, None),
    Case("scene, 4 bands of float32, deflate", 4, "float32", 4096, 1, 256, 8),
)


@dataclass(frozen=True)
class Result:
    """Samples per second, medians over the rounds, and our time over theirs."""

    case: str
    ours: float
    plain: float
    ratio: float  # plain time / our time: above 1 we are faster
    spread: tuple[float, float]  # of the ratio, over the rounds
    decoding: float  # share of our time that rasterio needs for the pixels alone


def write_files(case: Case, folder: Path) -> SensamDataset:
    """Images that compress like satellite images: smooth ground, and noise in the lowest bits."""
    random = np.random.default_rng(0)
    coarse = random.uniform(200, 3000, (case.bands, case.side // 16 + 1, case.side // 16 + 1))
    ground = np.kron(coarse, np.ones((16, 16)))[:, : case.side, : case.side]
    scale = 12 if case.dtype == "uint8" else 1
    for number in range(case.files):
        pixels = (
            ((ground + random.normal(0, 40, ground.shape)) / scale)
            .clip(1, 255 if scale > 1 else 65000)
            .astype(case.dtype)
        )
        label = (np.kron(coarse[0], np.ones((16, 16)))[: case.side, : case.side] // 600).astype(np.uint8)
        profile: dict[str, Any] = {"height": case.side, "width": case.side, "driver": "GTiff"}
        if case.compress:
            profile |= {"compress": case.compress, "predictor": 3 if case.dtype == "float32" else 2}
        if case.is_scene:
            profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
        for kind, array in (("images", pixels), ("masks", label[None])):
            path = folder / kind / f"{number:03}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            facts = profile | {"count": len(array), "dtype": array.dtype.name}
            if array.dtype == np.uint8 and case.compress:
                facts["predictor"] = 2
            with rasterio.open(path, "w", **facts) as file:
                file.write(array)
    sensor = {"name": "bench", "every_band": {"unit": "DN", "mean": MEAN / scale, "std": STD / scale, "nodata": 0}}
    settings = {
        "sensor": sensor | {"bands": [f"b{number}" for number in range(case.bands)]},
        "images": "images/*.tif",
        "masks": "masks/*.tif",
        "classes": [str(number) for number in range(CLASSES + 1)],
    }
    return SensamDataset(parse_spec(settings, base=folder))


class PlainRasterio(Dataset[dict[str, torch.Tensor]]):
    """Open, read, float32: the loop to beat. A scene stays open, which torchgeo's cache does too."""

    def __init__(self, places: list[Place], case: Case) -> None:
        self.places, self.case = places, case
        self.kept: dict[Path, Any] = {}

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        item, (row, column, rows, columns) = self.places[index]
        area = Window(column, row, columns, rows)
        image = self.read(item.images[0], area).astype(np.float32)
        label = self.read(item.mask or Path(), area)[0].astype(np.int64)
        return {"image": torch.from_numpy(image), "mask": torch.from_numpy(label)}

    def read(self, path: Path, area: Window) -> Any:
        if not self.case.is_scene:
            with rasterio.open(path) as file:
                return file.read(window=area)
        if path not in self.kept:
            self.kept[path] = rasterio.open(path)
        return self.kept[path].read(window=area)


def plain_batches(dataset: SensamDataset, case: Case, places: list[Place]) -> Iterator[torch.Tensor]:
    mean = torch.tensor([band.mean for band in dataset.sensor.bands])[:, None, None]
    std = torch.tensor([band.std for band in dataset.sensor.bands])[:, None, None]
    for batch in DataLoader(PlainRasterio(places, case), batch_size=case.batch):
        yield (batch["image"] - mean) / std


def our_batches(dataset: SensamDataset, case: Case, length: int) -> Iterator[torch.Tensor]:
    stream = TrainingStream(dataset, "train", size=case.window, length=length, augment=STILL)
    for batch in Loader(stream, batch_size=case.batch):
        yield batch.image_BCHW


def seconds(work: Callable[[], Iterator[Any]]) -> float:
    """Processor time of this process: files are in memory, and what else the machine does must not count."""
    close_files()  # so that neither side starts with what the last round left in memory
    start = time.process_time()
    for _ in work():
        pass
    return time.process_time() - start


def drawn(dataset: SensamDataset, case: Case, length: int) -> list[Place]:
    """Which windows our loader takes, in its order."""
    stream = TrainingStream(dataset, "train", size=case.window, length=length, augment=STILL)
    feed, places = Feed(dataset), []
    read = feed.portion
    feed.portion = lambda item, window: (places.append((item, window)), read(item, window))[1]  # type: ignore[method-assign]
    stream._feed = feed
    for _ in stream:
        pass
    return places


def decoding_seconds(dataset: SensamDataset, places: list[Place]) -> float:
    """The pixels of the same windows, and nothing else."""
    source = {item: dataset.source(item) for item, _ in places}
    close_files()
    start = time.process_time()
    for item, window in places:
        planes = plain_planes(item.images[0], source[item].planes)
        if planes is None:
            with rasterio.open(item.images[0]) as file:
                file.read(window=Window(window[1], window[0], window[3], window[2]))
        else:
            read_planes(item.images[0], planes, window)
    return time.process_time() - start


def measure(case: Case, rounds: int, length: int) -> Result:
    """Ours and theirs in turns; the first round of each only warms the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_files(case, Path(folder))
        places = drawn(dataset, case, length)
        times: dict[str, list[float]] = {"ours": [], "plain": [], "decoding": []}
        work: dict[str, Callable[[], float]] = {
            "ours": lambda: seconds(lambda: our_batches(dataset, case, length)),
            "plain": lambda: seconds(lambda: plain_batches(dataset, case, places)),
            "decoding": lambda: decoding_seconds(dataset, places),
        }
        for turn in range(rounds + 1):
            for name in list(work) if turn % 2 else list(reversed(work)):
                spent = work[name]()
                if turn:
                    times[name].append(spent)
    ratios = sorted(plain / ours for plain, ours in zip(times["plain"], times["ours"], strict=True))
    median = {name: statistics.median(each) for name, each in times.items()}
    return Result(
        case.name,
        length / median["ours"],
        length / median["plain"],
        statistics.median(ratios),
        (ratios[0], ratios[-1]),
        median["decoding"] / median["ours"],
    )


@dataclass(frozen=True)
class Waiting:
    """A small student that learns from generated batches: how much of its time it waits for them."""

    student: str
    workers: int
    steps: int
    step_ms: float
    waiting: float  # share


def measure_waiting(workers: int, steps: int, size: int = 256, batch: int = 4) -> Waiting:
    """Forward, backward and an optimiser step of SAM's nano encoder with 12 bands, in bf16 where that is faster."""
    from sensam.sam import build_sam

    case = Case("scene", 12, "uint16", 2048, 2, size, batch)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_files(case, Path(folder))
        student = build_sam("nano", bands=12).vision_encoder
        head = torch.nn.LazyConv2d(CLASSES + 1, 1)
        stream = TrainingStream(dataset, "train", size=size, length=batch * (steps + 3))
        loader = iter(Loader(stream, batch_size=batch, workers=workers))
        features = student(next(loader).image_BCHW)
        head(features)
        optimiser = torch.optim.AdamW([*student.parameters(), *head.parameters()], fused=True)
        waited, started = 0.0, time.perf_counter()
        for step in range(-2, steps):
            if step == 0:
                waited, started = 0.0, time.perf_counter()
            before = time.perf_counter()
            data = next(loader)
            waited += time.perf_counter() - before
            logits = torch.nn.functional.interpolate(head(student(data.image_BCHW)), size=(size, size))
            loss = torch.nn.functional.cross_entropy(logits, data.label_BHW, ignore_index=255)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        total = time.perf_counter() - started
    return Waiting("SAM nano, 12 bands", workers, steps, 1000 * total / steps, waited / total)


def machine() -> dict[str, str]:
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    packages = ("torch", "numpy", "rasterio")
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "gdal": rasterio.__gdal_version__,
    }


def report(results: list[Result], waiting: list[Waiting]) -> str:
    lines = [
        "| samples per second, one process | ours | plain | ratio | spread | decoding |",
        "|---|---|---|---|---|---|",
    ]
    for entry in results:
        low, high = entry.spread
        lines.append(
            f"| {entry.case} | {entry.ours:.0f} | {entry.plain:.0f} | **{entry.ratio:.2f}** "
            f"| {low:.2f}-{high:.2f} | {entry.decoding:.0%} |"
        )
    lines += ["", "| waiting for data while learning | workers | step, ms | waiting |", "|---|---|---|---|"]
    lines += [f"| {w.student} | {w.workers} | {w.step_ms:.0f} | **{w.waiting:.1%}** |" for w in waiting]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where to write .json and .md, without the suffix")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, default=96, help="samples in a round")
    parser.add_argument("--steps", type=int, default=40, help="training steps; 0 leaves the student out")
    settings = parser.parse_args()
    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        torch.set_num_threads(1)
        results = []
        for case in CASES:
            # Every tile once: read again in one round it would still be in our memory, and not in theirs.
            length = settings.length if case.is_scene else min(settings.length, case.files)
            results.append(measure(case, settings.rounds, length))
            print(results[-1], file=sys.stderr, flush=True)
        torch.set_num_threads(os.cpu_count() or 1)
        waiting = [measure_waiting(workers, settings.steps) for workers in (0, 2) if settings.steps]
    text = report(results, waiting)
    print(text)
    if settings.output:
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        facts = {"machine": machine(), "loading": [asdict(r) for r in results], "waiting": [asdict(w) for w in waiting]}
        settings.output.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        settings.output.with_suffix(".md").write_text(f"{text}\n\n{json.dumps(facts['machine'])}\n")


if __name__ == "__main__":
    main()
