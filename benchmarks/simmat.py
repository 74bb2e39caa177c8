"""SimMAT's claims at one budget: MAT + LoRA against zero-shot and from scratch, the projectors, the six strategies.

Every contestant sees the same windows, regions and clicks, is validated on `val` and tested once on `test`; the score
is the mean IoU of one fixed click over all regions. Means over seeds with deviations, never single runs.

  generated   things that only heat (polarization, depth) shows: is the other instrument used at all? Shapes and
              contrast are ours, so a high score says that the mechanism works, not how well it does on your data
  real        vegetation in red and near infrared, tumours in three MRI sequences, water in seven bands: small sets
              that their own per-pixel baselines find hard; one region there is a class, and a click names it

Claims are made on every set; projectors and strategies are compared on the first one (--ablate).

python benchmarks/simmat.py                         everything, about an hour and a half on one core
python benchmarks/simmat.py --quick                 one generated set, one seed, few steps: shows that it runs
python benchmarks/simmat.py --sets modality:thermal --parts claim --steps 400
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2sam_data import prepare
from measuring import machine, peak_above

import sensam
from sensam.data.dataset import open_dataset
from sensam.data.loader import Loader
from sensam.data.stream import TrainingStream
from sensam.data.synthetic import family, write
from sensam.evaluate.clicking import score_clicks
from sensam.methods.base import Moment, Task
from sensam.methods.tuning import STRATEGIES
from sensam.nn.projectors import PROJECTORS
from sensam.nn.surgery import choose, freeze_all_but
from sensam.run import build_method, load
from sensam.run.assembly import with_statistics
from sensam.run.model import as_model, describe_model
from sensam.sam.weights import load_sam

GENERATED = ("modality:thermal", "modality:polarization", "modality:depth")
REAL = ("crop_weed_nir2", "mri3_lgg", "water12_hls")
CLAIM = {
    "MAT + LoRA": {"projector": "mat_conv", "strategy": "lora"},
    "from scratch": {"projector": "mat_conv", "strategy": "full", "start": "random"},
    "SAM on the first bands + LoRA": {"projector": "zeroshot", "strategy": "lora"},
}
ZEROSHOT = "zero-shot: SAM on the first bands"
ROUNDS = 7  # steps that are timed
PARTS = ("claim", "projectors", "strategies")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One contestant on one data set, over all seeds."""

    contestant: str
    scores: tuple[float, ...]
    trained: int
    step_ms: float  # processor time, forward and backward of one window
    memory_mib: float

    def line(self) -> str:
        mean = statistics.mean(self.scores)
        spread = f"± {100 * statistics.stdev(self.scores):<5.1f}" if len(self.scores) > 1 else " " * 7
        return (
            f"{self.contestant:<36}{100 * mean:>7.1f} {spread}{self.trained:>12,}"
            f"{self.step_ms:>11.0f}{self.memory_mib:>12.0f}"
        )


def contestants(parts: Collection[str]) -> dict[str, dict[str, Any]]:
    """Names and settings; what two parts ask for is run once."""
    wanted: dict[str, dict[str, Any]] = {}
    if "claim" in parts:
        wanted |= CLAIM
    if "projectors" in parts:
        wanted |= {f"{name} + LoRA": {"projector": name, "strategy": "lora"} for name in PROJECTORS}
    if "strategies" in parts:
        wanted |= {f"MAT + {name}": {"projector": "mat_conv", "strategy": name} for name in STRATEGIES}
    kept: dict[str, dict[str, Any]] = {}
    for name, settings in wanted.items():
        if settings not in kept.values():
            kept[name] = settings
    return kept


def data_of(name: str, folder: Path, size: int, *, quick: bool) -> Path:
    """The dataset.yaml of a set, made when it is first asked for."""
    if name not in GENERATED:
        return prepare(name, folder, quick=quick)
    made = folder / name.replace(":", "-")
    if not (made / "dataset.yaml").is_file():
        counts = {"train": 24, "val": 6, "test": 12} if quick else {"train": 160, "val": 24, "test": 60}
        write(family(name), made, seed=0, counts=counts, size=(size, size))
    return made / "dataset.yaml"


def settings_of(name: str, own: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The contestant's own settings, with what a click means on this set."""
    adds = own["strategy"] not in ("full", "probe")
    return {
        **own,
        "clicks": arguments.clicks,
        "regions": "connected" if name in GENERATED else "label",
        "smallest": 0.002,
        **({"amount": arguments.amount} if adds else {}),
    }


def compete(name: str, data: Path, own: dict[str, Any], arguments: argparse.Namespace, folder: Path) -> Row:
    """One contestant: a run for every seed, then the test split."""
    settings, scores = settings_of(name, own, arguments), []
    rate = arguments.rate_full if own["strategy"] in ("full", "probe") else arguments.rate
    for seed in range(arguments.seeds):
        out = folder / name.replace(":", "-") / "-".join(str(value) for value in own.values()) / str(seed)
        if (out / "model" / "config.json").is_file():
            model = load(out)
        else:
            model = sensam.train(
                data,
                method="simmat",
                out=out,
                teacher=arguments.teacher,
                seed=seed,
                settings=settings,
                steps=arguments.steps,
                rate=rate,
                size=arguments.size,
                batch=arguments.batch,
                workers=0,
                validations=4,
                machine={"accelerator": "cpu"},
                quiet=True,
            )
        scores.append(score_clicks(model, data, split="test")["click_iou"])
    method = model.method
    sizes = {key: parameter.numel() for key, parameter in method.named_parameters()}
    trained = sum(sizes[key] for key, factor in choose(sizes, method.stages[0].learns).items() if factor)
    return Row(describe(own), tuple(scores), trained, *step_costs(data, settings, arguments))


def zero_shot(name: str, data: Path, arguments: argparse.Namespace) -> Row:
    """SAM as it is: LoRA that has learnt nothing adds nothing."""
    own = {"projector": "zeroshot", "strategy": "lora", "amount": 1}
    settings = settings_of(name, own, arguments)
    dataset = with_statistics(open_dataset(data), "train")
    task = Task(dataset.sensor, dataset.classes, load_sam(arguments.teacher), arguments.size, dataset.ignore)
    method = build_method("simmat", task, settings).eval()
    config = describe_model(method, "simmat", colours=dataset.colours, stages=())
    score = score_clicks(as_model(method, config), dataset, split="test")["click_iou"]
    return Row(ZEROSHOT, (score,), 0, 0.0, 0.0)


def step_costs(data: Path, settings: dict[str, Any], arguments: argparse.Namespace) -> tuple[float, float]:
    """Milliseconds of processor time of one training step of one window, and MiB above what is held before it.

    Not the seconds of a run: what else the machine does, or that a run was stopped for a while, must not count.
    """
    dataset = with_statistics(open_dataset(data), "train")
    task = Task(dataset.sensor, dataset.classes, load_sam(arguments.teacher), arguments.size, dataset.ignore)
    method = build_method("simmat", task, settings)
    (stage,) = method.stages
    freeze_all_but(method, stage.learns)
    batch = next(iter(Loader(TrainingStream(dataset, "train", size=arguments.size), batch_size=1)))

    def step() -> None:
        stage.loss(batch, Moment(0, 0, 0, range(1)))["loss"].backward()

    step()
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return 1000 * statistics.median(times), peak_above(step, "cpu")


def describe(own: dict[str, Any]) -> str:
    start = ", from scratch" if own.get("start") == "random" else ""
    return f"{own['projector']} + {own['strategy']}{start}"


def verdict(rows: list[Row]) -> Iterator[str]:
    """The paper's ordering, in words, with what speaks for it."""
    by_name = {row.contestant: row.scores for row in rows}
    ours = by_name.get("mat_conv + lora")
    for rival in (ZEROSHOT, "mat_conv + full, from scratch", "zeroshot + lora"):
        if ours is None or rival not in by_name:
            continue
        gaps = [mine - theirs for mine, theirs in zip(ours, by_name[rival] * len(ours), strict=False)]
        won = sum(gap > 0 for gap in gaps)
        yield f"MAT + LoRA over {rival}: {100 * statistics.mean(gaps):+.1f} points, {won} of {len(gaps)} seeds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=[*GENERATED, *REAL], default=[*GENERATED, *REAL])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--ablate", nargs="*", choices=[*GENERATED, *REAL], default=[GENERATED[0]])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--clicks", type=int, default=2)
    parser.add_argument("--amount", type=int, default=16, help="LoRA's rank, the adapter's width, ...")
    parser.add_argument("--rate", type=float, default=1e-3, help="the paper's 3e-4 is for runs of 10 000 steps")
    parser.add_argument("--rate-full", type=float, default=3e-4)
    parser.add_argument("--teacher", default="nano")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-simmat"))
    parser.add_argument("--output", type=Path, help="write FILE.md and FILE.json")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sets, arguments.parts, arguments.seeds, arguments.steps = ["modality:thermal"], ["claim"], 1, 12
        arguments.folder = arguments.folder.with_name(f"{arguments.folder.name}-quick")
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    about = machine("cpu")
    say(", ".join(f"{name} {value}" for name, value in about.items()))
    budget = f"{arguments.steps} steps of {arguments.batch} windows of {arguments.size}, {arguments.seeds} seeds"
    say(f"{budget}, SAM {arguments.teacher}")
    results: dict[str, Any] = {
        "machine": about,
        "settings": {k: str(v) for k, v in vars(arguments).items() if k not in ("folder", "output")},
        "sets": {},
    }
    for name in arguments.sets:
        data = data_of(name, arguments.folder / "data", arguments.size, quick=arguments.quick)
        say(f"\n{name}\n{'':<36}{'click IoU':>15}{'trained':>12}{'ms a step':>11}{'MiB a step':>12}")
        rows = [zero_shot(name, data, arguments)]
        say(rows[0].line())
        parts = arguments.parts if name in arguments.ablate else set(arguments.parts) & {"claim"}
        for own in contestants(parts).values():
            rows.append(compete(name, data, own, arguments, arguments.folder / "runs"))
            say(rows[-1].line())
        for line in verdict(rows):
            say(line)
        results["sets"][name] = {row.contestant: row.__dict__ for row in rows}
    if arguments.output:
        arguments.output.with_suffix(".md").write_text("\n".join(["```", *lines, "```"]) + "\n")
        arguments.output.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
