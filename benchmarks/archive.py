"""Maps an archive with one and with two workers: scenes a minute, and what scheduling costs over plain maps.

python benchmarks/archive.py                            processes and Ray, 8 scenes of 2048²
python benchmarks/archive.py --engines process --scenes 4 --side 512
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import machine
from scene import build, write_scene

from sensam.infer.archive import Order, loaded, map_archive
from sensam.infer.mapping import MapSettings, SceneJob, Target
from sensam.infer.pools import open_pool
from sensam.infer.voting import Vote


@dataclass(frozen=True)
class Load:
    """Makes the model in each worker, with one thread, so that two workers are two cores."""

    model: str
    bands: int
    tile: int

    def __call__(self) -> Vote:
        torch.set_num_threads(1)
        return Vote([build(self.model, self.bands, self.tile)], precision="fp32", device="cpu")


def plain(load: Load, scenes: list[str], out: Path) -> float:
    """Seconds for the same maps in a bare loop."""
    vote = loaded(load)
    began = time.perf_counter()
    for scene in scenes:
        job = SceneJob(vote.model, "bench", scene, Target.of(scene, out, alone=False), MapSettings())
        job.complete(job.run(vote))
    return time.perf_counter() - began


def archive(load: Load, scenes: list[str], out: Path, engine: str, workers: int) -> tuple[float, float]:
    """Seconds for the archive, start of workers included, and seconds of work inside tasks."""
    order = Order(load, "bench", MapSettings())
    began = time.perf_counter()
    manifest = map_archive(order, scenes, out, open_pool(order, engine, workers, None))  # type: ignore[arg-type]
    assert not manifest.failed, manifest.failed[0].error
    return time.perf_counter() - began, sum(entry.seconds for entry in manifest.entries.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=["process", "ray"], default=["process", "ray"])
    parser.add_argument("--model", choices=["light", "nano", "b"], default="nano")
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--bands", type=int, default=8)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--output", type=Path, help="a .md file")
    arguments = parser.parse_args()
    load = Load(arguments.model, arguments.bands, arguments.tile)
    lines = [f"{name}: {value}  " for name, value in (machine("cpu") | vars(arguments)).items() if name != "output"]
    lines.append("")
    lines.append("| how | workers | seconds | scenes a minute | over plain maps shared evenly |")
    lines.append("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = [str(folder / f"scene{number}.tif") for number in range(arguments.scenes)]
        for scene in scenes:
            write_scene(Path(scene), arguments.side, arguments.bands)
        bare = plain(load, scenes, folder / "plain")
        lines.append(f"| plain loop | 1 | {bare:.1f} | {60 * len(scenes) / bare:.1f} | 1.00 |")
        for engine in arguments.engines:
            for workers in (1, 2):
                seconds, work = archive(load, scenes, folder / f"{engine}{workers}", engine, workers)
                rate, over = 60 * len(scenes) / seconds, seconds * workers / bare
                told = f"{over:.2f} (work inside tasks {work / bare:.2f})"
                lines.append(f"| {engine} | {workers} | {seconds:.1f} | {rate:.1f} | {told} |")
    print("\n".join(lines))
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
