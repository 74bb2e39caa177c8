"""Maps scenes of two sizes: wall time over the model's own, and peak memory of the large one over the small one.

The bars: wall <= 1.03 x the forward passes alone on the same tiles, already in memory; peak <= 1.1 x that of the
small scene. Peaks are measured in processes of their own; the model's own memory is in both.

python benchmarks/scene.py                              5,000² and 20,000² x 16 bands, SAM ViT-B: hours on two cores
python benchmarks/scene.py --parts wall --small 2048 --rounds 3
python benchmarks/scene.py --parts peak --model light   memory does not ask how long a tile takes
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from measuring import in_new_process, machine, peak_above, physical_cores
from rasterio.windows import Window
from torch import Tensor, nn

from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.segmenter import Segmenter
from sensam.infer.voting import Vote
from sensam.sam.anatomy import anatomy
from sensam.sam.encoder import ImageEncoder
from sensam.sensors import Sensor

WALL_BAR, MEMORY_BAR = 1.03, 1.1
CLASSES = 8
BLOCK = 512
MODELS = ("light", "nano", "b")
KEPT = 4  # different tiles in memory for the forward passes alone


class EncoderHead(nn.Module):
    """A SAM encoder with one layer to classes: the least that a map costs with it."""

    def __init__(self, size: str, bands: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        from dataclasses import replace

        self.encoder = ImageEncoder(replace(anatomy(size), bands=bands), neck=False)
        nn.init.normal_(self.encoder.pos_embed, std=0.02)
        self.head = nn.Conv2d(self.encoder.anatomy.width, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.encoder.tokens(image).permute(0, 3, 1, 2)
        return nn.functional.interpolate(self.head(tokens), image.shape[-2:], mode="bilinear")


def build(model: str, bands: int, tile: int) -> Segmenter:
    network: nn.Module = nn.Conv2d(bands, CLASSES, 3, padding=1) if model == "light" else EncoderHead(model, bands)
    names = [f"b{number}" for number in range(bands)]
    sensor = Sensor.from_dict(
        {"name": "bench", "bands": names, "every_band": {"unit": "DN", "mean": 1000, "std": 500, "nodata": 0}}
    )
    colours = tuple((number * 30, 100, 200) for number in range(CLASSES))
    return Segmenter(network.eval(), sensor, tuple(f"c{n}" for n in range(CLASSES)), colours, tile)


def write_scene(path: Path, side: int, bands: int) -> None:
    """One block of noise over coarse ground, everywhere the same: large on the ground, small on the disk."""
    random = np.random.default_rng(0)
    coarse = random.integers(500, 1500, (bands, BLOCK // 16, BLOCK // 16))
    block = (np.kron(coarse, np.ones((1, 16, 16), int)) + random.integers(0, 64, (bands, BLOCK, BLOCK))).astype(
        np.uint16
    )
    facts = {"driver": "GTiff", "dtype": "uint16", "count": bands, "height": side, "width": side, "tiled": True}
    facts |= {"blockxsize": BLOCK, "blockysize": BLOCK, "compress": "zstd", "bigtiff": "yes", "interleave": "pixel"}
    place = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    with rasterio.open(path, "w", crs="EPSG:32632", transform=place, **facts) as file:
        for number in range(bands):
            file.set_band_description(number + 1, f"b{number}")
        for row in range(0, side, BLOCK):
            for column in range(0, side, BLOCK):
                rows, columns = min(BLOCK, side - row), min(BLOCK, side - column)
                file.write(block[:, :rows, :columns], window=Window(column, row, columns, rows))


def make_job(path: Path, out: Path, arguments: argparse.Namespace) -> tuple[SceneJob, Vote]:
    model = build(arguments.model, arguments.bands, arguments.tile)
    vote = Vote([model], precision=arguments.precision, device=arguments.device)
    settings = MapSettings(batch=arguments.batch)
    return SceneJob(model, "bench", str(path), Target(out, path.stem), settings), vote


def time_wall(path: Path, out: Path, arguments: argparse.Namespace) -> tuple[float, int]:
    """Seconds from nothing to the finished file, and how many batches."""
    job, vote = make_job(path, out, arguments)
    vote(np.zeros((1, arguments.bands, arguments.tile, arguments.tile), np.float32))  # warm
    began = time.perf_counter()
    job.complete(job.run(vote))
    return time.perf_counter() - began, len(job.layout.steps())


def time_forward(path: Path, out: Path, arguments: argparse.Namespace) -> float:
    """Seconds of the forward passes alone: as many, on tiles that lie in memory."""
    job, vote = make_job(path, out, arguments)
    steps = job.layout.steps()
    batches = [np.stack([job.scene.read(window)[0] for window in step.windows]) for step in steps[:KEPT]]
    vote(batches[0])
    device = torch.device(arguments.device)
    began = time.perf_counter()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=vote.is_half):
        for number in range(len(steps)):
            vote.model.logits(torch.from_numpy(batches[number % len(batches)]).to(device))
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def print_peak(path: Path, out: Path, arguments: argparse.Namespace) -> None:
    job, vote = make_job(path, out, arguments)
    print(json.dumps({"peak": peak_above(lambda: job.complete(job.run(vote)), "cpu")}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="b")
    parser.add_argument("--small", type=int, default=5000)
    parser.add_argument("--large", type=int, default=20_000)
    parser.add_argument("--bands", type=int, default=16)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=["wall", "peak"], default=["wall", "peak"])
    parser.add_argument("--rounds", type=int, default=1, help="of wall and forward, in turns, on the small scene")
    parser.add_argument("--output", type=Path, help="a .md file")
    parser.add_argument("--peak", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def own_words(arguments: argparse.Namespace) -> list[str]:
    names = ("model", "bands", "tile", "batch", "precision", "device")
    return [word for name in names for word in (f"--{name}", str(getattr(arguments, name)))]


def wall(path: Path, folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """What a map takes beyond its model's own time, the two in turns."""
    write_scene(path, arguments.small, arguments.bands)
    ratios = []
    for number in range(arguments.rounds):
        whole, steps = time_wall(path, folder / f"wall-{number}", arguments)
        forward = time_forward(path, folder / "forward", arguments)
        ratios.append(whole / forward)
        yield f"{arguments.small}²: wall {whole:.2f} s, forward {forward:.2f} s, {steps} batches"
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    yield verdict(f"wall / forward, {arguments.small}² ({spread})", sorted(ratios)[len(ratios) // 2], WALL_BAR)


def peak(paths: dict[int, Path], folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """What the large scene needs beyond the small one, each in a process of its own."""
    peaks = {}
    for side, path in paths.items():
        if not path.is_file():
            write_scene(path, side, arguments.bands)
        words = ["--peak", str(path), str(folder / f"peak-{side}"), *own_words(arguments)]
        peaks[side] = in_new_process(__file__, *words)["peak"]
        yield f"{side}²: peak {peaks[side]:.0f} MiB above the model"
    grown = peaks[arguments.large] / peaks[arguments.small]
    yield verdict(f"peak of {arguments.large}² / {arguments.small}²", grown, MEMORY_BAR)


def main() -> None:
    arguments = parse()
    torch.set_num_threads(physical_cores())
    if arguments.peak:
        print_peak(*arguments.peak, arguments)
        return
    facts: dict[str, Any] = machine(arguments.device) | vars(arguments)
    lines = [f"{name}: {value}" for name, value in facts.items() if name not in {"peak", "output"}]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {side: folder / f"scene-{side}.tif" for side in (arguments.small, arguments.large)}
        if "wall" in arguments.parts:
            lines += wall(paths[arguments.small], folder, arguments)
        if "peak" in arguments.parts:
            lines += peak(paths, folder, arguments)
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(f"- {line}" for line in lines) + "\n")


def verdict(what: str, value: float, bar: float) -> str:
    return f"{what}: {value:.3f} (<= {bar:.2f} {'met' if value <= bar else 'NOT MET'})"


if __name__ == "__main__":
    main()
