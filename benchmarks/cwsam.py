"""Measures CWSAM: accuracy against rivals at equal steps, what each of its parts is worth, and the time of a step.

python benchmarks/cwsam.py                       everything, three seeds (hours on two cores; it may be stopped)
python benchmarks/cwsam.py --quick               a few steps, to see that everything runs: its scores mean nothing
python benchmarks/cwsam.py --parts steps --size 512
python benchmarks/cwsam.py --parts accuracy --data sar --entries "cwsam" "lite head"

Accuracy: the built-in teacher nano; training windows, steps, batch, augmentation and schedule are the same for all.
The rate is each rival's best of --rates on validation with a seed that is not reported; a variation that only tells
what a part is worth takes CWSAM's. Scores are of a test split that nothing else reads: generated `sar` scenes, and
floods seen by Sentinel-1 (two scenes to learn from, two other ones to be judged on). What generated scenes show is that
parts do what they should; four real scenes show less.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import yaml
from cwsam_rivals import FullTuning, PlainCwsam, vit_b_task
from measuring import Clock, Ratio, compare, interleave, machine, peak_above, physical_cores
from torch import Tensor, nn

from sensam.data.dataset import open_dataset
from sensam.data.synthetic import FAMILIES, write
from sensam.evaluate.compare.measure import measure, score
from sensam.files import write_text
from sensam.methods.base import MethodConfig
from sensam.methods.cwsam import Cwsam, CwsamConfig, cross_entropy_per_pixel
from sensam.nn.surgery import freeze_all_but
from sensam.run import Model, train
from sensam.sensors import load_sensor

Settings = dict[str, Any]
ENTRIES: dict[str, tuple[str, Settings]] = {
    "cwsam": ("cwsam", {}),
    "as published": ("cwsam", {"protocol": "paper"}),
    "as published, starting at SAM": ("cwsam", {"protocol": "paper", "init": "zero"}),
    "starting away from SAM": ("cwsam", {"init": "torch_default"}),
    "lite head": ("cwsam", {"head": "lite"}),
    "no skip": ("cwsam", {"skip": "none"}),
    "skip of its own": ("cwsam", {"skip": "separate"}),
    "high frequencies": ("cwsam", {"frequencies": "high"}),
    "both frequencies": ("cwsam", {"frequencies": "both", "rate": 0.0625}),
    "adapters alone": ("cwsam", {"frequencies": "none"}),
    "prompts alone": ("cwsam", {"adapters": False}),
    "decoder alone": ("cwsam", {"adapters": False, "frequencies": "none"}),
    "linear probe": ("cwsam_rivals:LinearProbe", {}),
    "full fine-tuning": ("cwsam_rivals:FullTuning", {}),
    "scratch": ("scratch", {}),
    "unet": ("unet", {}),
}
REFERENCE = "cwsam"
# On the four real scenes only these: what a part is worth is asked where there are scenes enough to tell.
RIVALS = ("cwsam", "as published", "lite head", "linear probe", "full fine-tuning", "scratch", "unet")
TUNING_SEED = 1000  # decides the rate, is never reported
FLOOD = {"train": ["Mekong_333434", "Nigeria_812045"], "test": ["Ghana_53713", "USA_905409"]}
STEP_BARS = {"full fine-tuning": 0.75, "plain rendering": 0.92}


@dataclass(frozen=True)
class Budget:
    """What every entry gets."""

    steps: int
    batch: int
    size: int
    rates: tuple[float, ...]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.steps}x{self.batch}x{self.size}"


def sar_data(folder: Path, *, quick: bool) -> Path:
    """Generated radar scenes, made once."""
    target = folder / ("sar-quick" if quick else "sar")
    if not (target / "dataset.yaml").is_file():
        counts = {"train": 2, "val": 1, "test": 1} if quick else {"train": 64, "val": 16, "test": 32}
        write(FAMILIES["sar"], target, seed=20, counts=counts, size=(64, 64) if quick else (192, 192))
    return target / "dataset.yaml"


def flood_data(folder: Path) -> Path | None:
    """Real Sentinel-1 scenes, if they are there: two to learn from (right edges: validation), two to test on."""
    root = Path(os.environ.get("SENSAM_REAL_DATA", "../shared/data")) / "s1_flood_sen1floods11"
    if not root.is_dir():
        return None
    target = folder / "flood.yaml"
    settings = {
        "name": "sen1floods11",
        "root": str(root.resolve()),
        "sensor": "sentinel1-db",
        "images": "images_s1/*.tif",
        "masks": "masks/*.png",
        "classes": ["not water", "water"],
        "splits": {
            "train": {"keys": FLOOD["train"], "columns": [0, 0.8]},
            "val": {"keys": FLOOD["train"], "columns": [0.8, 1]},
            "test": {"keys": FLOOD["test"]},
        },
    }
    target.write_text(yaml.safe_dump(settings))
    return target


def run_cell(data: Path, entry: str, seed: int, rate: float, budget: Budget, folder: Path) -> Settings:
    """One training, or what it left behind the last time: scores on validation and test, and what it took (MB above
    what the process held before)."""
    name = f"{data.parent.name}-{data.stem}-{entry}-{seed}-{rate:g}-{budget.name}".replace(" ", "_").replace(",", "")
    record = folder / "cells" / f"{name}.json"
    if record.is_file():
        return json.loads(record.read_text())
    method, settings = ENTRIES[entry]
    plan = {"steps": budget.steps, "batch": budget.batch, "size": budget.size, "rate": rate, "least_rate": rate / 100}
    common = {"warm_up": 0.05, "weight_decay": 0.01, "clip": 1.0, "validations": 4, "workers": 0, "decay_all": False}
    common |= {"fit": "crop", "augment": None}  # a published protocol has its own, which are not what is asked here
    trained: list[Model] = []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "run"
        once = partial(train, data, method=method, settings=settings, seed=seed, out=out, quiet=True, **plan, **common)
        peak = peak_above(lambda: trained.append(once()), "cuda" if torch.cuda.is_available() else "cpu")
        metrics = json.loads((out / "metrics.json").read_text())
    (model,) = trained
    dataset = open_dataset(data)
    scores = {
        split: score(measure(model, dataset, split, batch=budget.batch), model.classes) for split in ("val", "test")
    }
    found = {
        "entry": entry,
        "seed": seed,
        "rate": rate,
        **{split: each.miou for split, each in scores.items()},
        "classes": scores["test"].iou,
        "trained": metrics["trained_parameters"],
        "seconds": metrics["seconds"],
        "peak_mb": peak,
    }
    write_text(record, json.dumps(found))
    return found


def measure_accuracy(data: Path, entries: Sequence[str], budget: Budget, folder: Path) -> list[Settings]:
    """A row for each entry, told as soon as it is known."""
    reference: dict[int, float] = {}
    rows = []
    for entry in sorted(entries, key=lambda name: name != REFERENCE):
        rate = next((row["rate"] for row in rows if row["entry"] == REFERENCE), budget.rates[0])
        if len(budget.rates) > 1 and (entry in RIVALS or not rows):
            tried = {each: run_cell(data, entry, TUNING_SEED, each, budget, folder)["val"] for each in budget.rates}
            rate = max(tried, key=lambda each: tried[each] or 0.0)
        cells = [run_cell(data, entry, seed, rate, budget, folder) for seed in budget.seeds]
        scores = {cell["seed"]: cell["test"] or 0.0 for cell in cells}
        reference = scores if entry == REFERENCE else reference
        behind = [scores[seed] - reference[seed] for seed in scores] if reference else []
        row = {
            "entry": entry,
            "rate": rate,
            "miou": mean(scores.values()),
            "spread": stdev(scores.values()) if len(scores) > 1 else 0.0,
            "behind": [mean(behind), min(behind), max(behind)] if behind else None,
            "trained": cells[0]["trained"],
            "seconds": mean(cell["seconds"] for cell in cells),
            "peak_mb": max(cell["peak_mb"] for cell in cells),
        }
        rows.append(row)
        print(accuracy_line(row), flush=True)
    return rows


def accuracy_line(row: Settings) -> str:
    behind = "" if row["behind"] is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*row["behind"])
    return (
        f"| {row['entry']} | {row['miou']:.3f} ± {row['spread']:.3f} | {behind} | {row['rate']:g} | "
        f"{row['trained'] / 1e6:.2f} M | {row['seconds']:.0f} | {row['peak_mb']:.0f} |"
    )


def accuracy_table(name: str, rows: list[Settings], budget: Budget) -> str:
    seeds = f"{len(budget.seeds)} seed{'s' if len(budget.seeds) > 1 else ''}"
    head = [
        f"## {name}: {budget.steps} steps of {budget.batch} windows of {budget.size}², {seeds}",
        "",
        "| entry | test mIoU ± deviation | beyond cwsam, same seed (lowest to highest) | rate | learns | s | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *map(accuracy_line, rows)]) + "\n"


def step(network: nn.Module, learns: dict[str, float] | None, image: Tensor, label: Tensor) -> Any:
    """One whole training step: forward, loss, backward, AdamW."""
    if learns is not None:
        freeze_all_but(network, learns)
    network.train()
    moving = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=1e-6, fused=True)

    def call() -> None:
        optimiser.zero_grad()
        cross_entropy_per_pixel(network(image), label, 255).backward()
        optimiser.step()

    return call


def measure_steps(size: int, rounds: int, clock: Clock) -> list[Ratio]:
    """ViT-B with random weights: against full fine-tuning, and against the authors' order of work."""
    task = vit_b_task(size, 5, load_sensor("rgb"))
    dice = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, size, size, generator=dice)
    label = torch.randint(0, 5, (1, size, size), generator=dice)
    whole, adapters = Cwsam(task, CwsamConfig()), Cwsam(task, CwsamConfig(frequencies="none"))
    full = FullTuning(task, MethodConfig())
    calls = {
        "adapters": step(adapters, adapters.stages[0].learns, image, label),
        "adapters and prompts": step(whole, whole.stages[0].learns, image, label),
        "full fine-tuning": step(full, full.stages[0].learns, image, label),
        "plain rendering": step(PlainCwsam(task, prompts=False), None, image, label),
        "plain rendering with prompts": step(PlainCwsam(task, prompts=True), None, image, label),
    }
    seconds = interleave(calls, rounds, clock)
    for name, each in seconds.items():
        print(f"| step at {size}² | {name} | {min(each):.2f} - {max(each):.2f} s |", flush=True)
    what = f"training step at {size}²"
    return [
        compare(f"{what}: adapters", seconds, "adapters", ["full fine-tuning"], STEP_BARS["full fine-tuning"]),
        compare(f"{what}: adapters", seconds, "adapters", ["plain rendering"], STEP_BARS["plain rendering"]),
        compare(f"{what}: and prompts", seconds, "adapters and prompts", ["plain rendering with prompts"], None),
        compare(f"{what}: what prompts cost", seconds, "adapters and prompts", ["adapters"], None),
    ]


def ratio_table(ratios: list[Ratio]) -> str:
    lines = ["## Time of a step", "", "| what | ratio | in single rounds | against | bar |", "|---|---|---|---|---|"]
    for r in ratios:
        lines.append(f"| {r.what} | **{r.value:.2f}** | {r.low:.2f} - {r.high:.2f} | {r.best} | {r.verdict} |")
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=["accuracy", "steps"], default=["accuracy", "steps"])
    parser.add_argument("--data", nargs="+", choices=["sar", "flood"], default=["sar", "flood"])
    parser.add_argument("--entries", nargs="+", choices=list(ENTRIES), default=list(ENTRIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--window", type=int, default=64, help="of training, in pixels")
    parser.add_argument("--rates", nargs="+", type=float, default=[3e-4, 1e-3])
    parser.add_argument("--size", type=int, default=512, help="of a ViT-B step, in pixels")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--busy", action="store_true", help="count processor time, where others share the machine")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/benchmark-cwsam"), help="finished cells, taken up again"
    )
    parser.add_argument("--output", type=Path, help="NAME.md and NAME.json")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    quick, clock = arguments.quick, time.process_time if arguments.busy else time.perf_counter
    budget = Budget(arguments.steps, 4, arguments.window, tuple(arguments.rates), tuple(range(arguments.seeds)))
    if quick:
        budget = Budget(2, 2, 64, (1e-3,), (0,))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    environment = machine("cuda" if torch.cuda.is_available() else "cpu")
    texts, values = [f"{name}: {value}  " for name, value in environment.items()], {"environment": environment}
    if "accuracy" in arguments.parts:
        sets = {"sar": sar_data(arguments.folder, quick=quick), "flood": flood_data(arguments.folder)}
        for name, data in sets.items():
            if data is not None and name in arguments.data:
                asked = [entry for entry in arguments.entries if name == "sar" or entry in RIVALS]
                rows = measure_accuracy(data, asked, budget, arguments.folder)
                texts += ["", accuracy_table(name, rows, budget)]
                values[name] = rows
    if "steps" in arguments.parts:
        ratios = measure_steps(256 if quick else arguments.size, 1 if quick else arguments.rounds, clock)
        texts += ["", ratio_table(ratios)]
        values["steps"] = [asdict(ratio) | {"verdict": ratio.verdict} for ratio in ratios]
    print("\n".join(texts))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.with_suffix(".md").write_text("\n".join(texts))
        arguments.output.with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
