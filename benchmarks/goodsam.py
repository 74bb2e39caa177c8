"""Measures GoodSAM on generated panoramas: each step from a source-only student to the full method, block by block.

python benchmarks/goodsam.py                     all, three seeds: 90 minutes of one core; may be stopped
python benchmarks/goodsam.py --quick             a few steps, to see that everything runs: its scores mean nothing
python benchmarks/goodsam.py --parts cost        what SAM's masks, a step and the student take
python benchmarks/goodsam_pictures.py            the figures, from the runs that this left behind

Source: labelled perspective views of 70 degrees, cut anywhere near the horizon. Target: panoramas of other streets,
without labels; test panoramas are read by the scores alone. All students get the same steps, batch and rate, and begin
with the encoder of the source-only student, in whose place the paper has ImageNet's; the assistant's steps are its own.
Last weights are kept, so that no label of a panorama chooses anything. SAM is the built-in nano; its thresholds are set
below SAM's own, because nano is less sure of itself. A row is reported as it comes out, whatever the paper says.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from measuring import interleave, machine, physical_cores
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sensam.data.dataset import open_dataset
from sensam.data.loader import Loader
from sensam.data.stream import EvaluationStream
from sensam.data.synthetic import family, write
from sensam.evaluate.latitude import LatitudeScores, lost_thin_classes
from sensam.methods.base import WHOLE
from sensam.methods.goodsam.method import GoodSam
from sensam.nn.segformer import SegFormer, build_segformer
from sensam.run import Model, build_method, fit_dataset, load, train
from sensam.sam.weights import load_sam
from sensam.types import Batch

Settings = dict[str, Any]
MASKS: Settings = {"points_per_side": 6, "min_iou": 0.7, "min_stability": 0.85}
FRESH, PRETRAINED, RECTIFIED = 5e-4, 1e-4, 2e-5  # rates; the fresh head on a pretrained encoder has ten times as much
THIN = ("pole", "pedestrian")
NO_RECTIFY = {"consistency": 0.0, "boundary": 0.0}
LEVELS_OFF = {"windows": 0.0, "features": 0.0}
# Each student: what is changed of the full method. The paper's ablation is rows of this table.
STUDENTS: Mapping[str, Settings] = {
    "student of the assistant": {"rectify": NO_RECTIFY, "fusion": {"strength": 0.0}, "distil": LEVELS_OFF},
    "fusion, no levels": {"rectify": NO_RECTIFY, "distil": LEVELS_OFF},
    "full": {},
    "full - consistency": {"rectify": {"consistency": 0.0}},
    "full - boundary": {"rectify": {"boundary": 0.0}},
    "full - rectification": {"rectify": NO_RECTIFY},
    "full - fusion": {"fusion": {"strength": 0.0}},
    "full - window answers": {"distil": {"windows": 0.0}},
    "full - features": {"distil": {"features": 0.0}},
    "hard pseudo maps (++)": {"fusion": {"output": "hard"}},
    "two rows of windows (++)": {"windows": {"rows": 2}},
}


@dataclass(frozen=True)
class Budget:
    """What every seed gets."""

    assistant_steps: int
    student_steps: int
    counts: tuple[int, int, int]  # streets that views are cut from, panoramas, test panoramas
    size: tuple[int, int]
    batch: int = 2
    assistant: str = "b1"

    def settings(self, cache: Path) -> Settings:
        return {"masks": MASKS, "thin": THIN, "cache": str(cache), "assistant_size": self.assistant, "cut_views": True}

    def stage(self, steps: int, rate: float, **more: Any) -> Settings:
        plan = {"steps": steps, "batch": self.batch, "rate": rate, "weight_decay": 0.01, "size": WHOLE}
        return {**plan, "validations": 0, "workers": 0, **more}


def make_data(folder: Path, seed: int, budget: Budget) -> tuple[Path, Path]:
    """Labelled streets and unlabelled ones of a seed, made once."""
    streets, panoramas, tests = budget.counts
    name = f"{budget.size[0]}x{budget.size[1]}-{streets}-{panoramas}-{tests}-{seed}"
    source, target = folder / f"source-{name}", folder / f"target-{name}"
    kind = family("panorama")
    if not source.is_dir():
        write(kind, source, seed=100 + seed, counts={"train": streets}, size=budget.size)
    if not target.is_dir():
        counts = {"train": panoramas, "test": tests}
        write(kind, target, seed=200 + seed, counts=counts, size=budget.size, unlabelled=["train"])
    return source / "dataset.yaml", target / "dataset.yaml"


class Bench:
    """All runs of one seed; those that are done are read back."""

    def __init__(self, folder: Path, seed: int, budget: Budget) -> None:
        self.folder, self.seed, self.budget = folder / f"seed-{seed}", seed, budget
        self.source, self.target = make_data(folder, seed, budget)
        self.settings = budget.settings(self.folder / "cache")

    def assistant(self, size: str) -> Model:
        """A SegFormer taught by the labelled views."""
        out = self.folder / f"assistant-{size}"
        settings = {**self.settings, "assistant_size": size}
        plan = self.budget.stage(self.budget.assistant_steps, FRESH, batch=2 * self.budget.batch)
        return self._run(out, self.source, settings, {"assistant": plan}, stop_after="assistant")

    def start(self) -> Path:
        """The source-only student, in the layout of published weights."""
        folder = self.folder / "start"
        if not folder.is_dir():
            self.source_net("b0").net.save_pretrained(folder)
        return folder

    def source_net(self, size: str) -> SegFormer:
        """What learnt from labelled views alone."""
        method = self.assistant(size).method
        assert isinstance(method, GoodSam)
        assert isinstance(method.source.net, SegFormer)
        return method.source.net.eval()

    def student(self, name: str) -> Model:
        """A student of the assistant, with the blocks that its row has."""
        settings = {**self.settings, **STUDENTS[name]}
        settings["assistant"] = str(self.folder / f"assistant-{self.budget.assistant}")
        settings["student_start"] = str(self.start())
        steps = max(1, self.budget.student_steps // 10)
        stages = {"distil": self.budget.stage(self.budget.student_steps, PRETRAINED)}
        if STUDENTS[name].get("rectify") != NO_RECTIFY:
            stages["rectify"] = self.budget.stage(steps, RECTIFIED, batch=1)
        return self._run(self.folder / name.replace(" ", "_"), self.target, settings, stages)

    def _run(self, out: Path, data: Path, settings: Settings, stages: Settings, **more: Any) -> Model:
        if (out / "model" / "config.json").is_file():
            return load(out)
        resume = (out / "run.yaml").is_file()
        return train(
            data,
            method="goodsam",
            out=out,
            settings=settings,
            stages=stages,
            seed=self.seed,
            resume=resume,
            quiet=True,
            **more,
        )

    def tests(self, model: Model) -> Loader:
        return Loader(EvaluationStream(fit_dataset(open_dataset(self.target), model.sensor), "test"), batch_size=1)

    def teachers(self, **changes: Any) -> GoodSam:
        """The assistant with SAM as a method, for looking at ensembles."""
        path = self.folder / f"assistant-{self.budget.assistant}"
        settings = {**self.settings, "assistant": str(path), "rectify": NO_RECTIFY, **changes}
        return self.teachers_for(load(self.folder / "full"), settings)

    def teachers_for(self, model: Model, settings: Settings) -> GoodSam:
        """The teachers that a finished student no longer has."""
        method = build_method("goodsam", replace(model.method.task, sam=load_sam("nano")), settings).eval()
        assert isinstance(method, GoodSam)
        return method

    def score(self, model: Model, find: Callable[[Batch], Tensor]) -> LatitudeScores:
        """Predictions for every test panorama against its truth."""
        scores = LatitudeScores(model.classes)
        with torch.no_grad():
            for batch in self.tests(model):
                assert batch.label_BHW is not None
                scores.add(find(batch)[0].argmax(0).numpy(), batch.label_BHW[0].numpy())
        return scores

    def rows(self, names: list[str]) -> dict[str, Settings]:
        """Every row of the table for this seed."""
        small, large = self.source_net("b0"), self.source_net(self.budget.assistant)
        students = {name: self.student(name) for name in names}
        first = next(iter(students.values()))
        windows, fused = self.teachers(fusion={"strength": 0.0}), self.teachers()
        found = {
            "source-only student": self.score(first, lambda batch: small(batch.image_BCHW)),
            "assistant, whole": self.score(first, lambda batch: large(batch.image_BCHW)),
            "assistant, windows": self.score(first, lambda batch: windows.ensemble(batch.image_BCHW[0]).prob_KHW[None]),
            "fused pseudo-labels": self.score(first, lambda batch: fused.ensemble(batch.image_BCHW[0]).prob_KHW[None]),
            **{
                name: self.score(each, lambda batch, m=each: m.method(batch.image_BCHW))
                for name, each in students.items()
            },
        }
        thin = lost_thin_classes(found["assistant, windows"].by_class(), found["fused pseudo-labels"].by_class(), THIN)
        for name, fall in thin.items():
            print(f"warning: seed {self.seed}: fusion costs {name} {100 * fall:.1f} points of IoU", flush=True)
        return {name: {**scores.report(), "classes": scores.by_class()} for name, scores in found.items()}


def accuracy(seeds: list[dict[str, Settings]]) -> str:
    """Mean and deviation over seeds, and the gain over the row above or under the full method."""
    columns = [name for name in next(iter(seeds[0].values())) if name != "classes"]
    lines = [
        f"## mIoU of test panoramas, {len(seeds)} seeds",
        "",
        f"| row | {' | '.join(columns)} | beyond full, same seed |",
        "|---|" + "---|" * (len(columns) + 1),
    ]
    for row in seeds[0]:
        cells = [_spread([seed[row][column] for seed in seeds]) for column in columns]
        beyond = [seed[row]["miou"] - seed["full"]["miou"] for seed in seeds] if "full" in seeds[0] else []
        low_high = f"{mean(beyond):+.3f} ({min(beyond):+.3f} to {max(beyond):+.3f})" if beyond and row != "full" else ""
        lines.append(f"| {row} | {' | '.join(cells)} | {low_high} |")
    classes = list(seeds[0][next(iter(seeds[0]))]["classes"])
    lines += ["", "## IoU by class", "", f"| row | {' | '.join(classes)} |", "|---|" + "---|" * len(classes)]
    for row in seeds[0]:
        lines.append(f"| {row} | {' | '.join(_spread([s[row]['classes'][name] for s in seeds]) for name in classes)} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    """Mean ± deviation of what is a number."""
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return "-"
    return f"{mean(known):.3f}" + (f" ± {stdev(known):.3f}" if len(known) > 1 else "")


def cost(budget: Budget, bench: Bench, rounds: int) -> str:
    """Of the student alone, and of the label-free stages once and for each step."""
    lines = [
        "## Cost",
        "",
        "| student | parameters | GFLOPs | frames/s on this CPU, lowest to highest |",
        "|---|---|---|---|",
    ]
    image = torch.randn(1, 4, *budget.size)
    for size in ("b0", "b1", "b2"):
        net = build_segformer(size, bands=4, classes=9, around=32).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(image)
        with torch.no_grad():
            seconds = interleave({size: lambda net=net: net(image)}, rounds)[size]
        frames = f"{1 / max(seconds):.3g} - {1 / min(seconds):.3g}"
        parameters = sum(weight.numel() for weight in net.parameters())
        flops = counter.get_total_flops() / 1e9
        lines.append(f"| {size} | {parameters / 1e6:.2f} M | {flops:.2f} | {frames} |")
    teachers = bench.teachers(cache=str(bench.folder / f"cold-{time.time_ns()}"))
    batch = next(iter(bench.tests(load(bench.folder / "full"))))
    started = time.perf_counter()
    cold = teachers.ensemble(batch.image_BCHW[0])
    middle = time.perf_counter()
    warm = teachers.ensemble(batch.image_BCHW[0])
    ended = time.perf_counter()
    assert not cold.is_from_cache
    assert warm.is_from_cache
    files = list(Path(str(teachers.config.cache)).rglob("*.npz"))
    sizes = {path.parent.parent.name: path.stat().st_size / 1024 for path in files}
    report = cold.report
    lines += [
        "",
        f"One panorama of {budget.size[0]} x {budget.size[1]}: masks and ensemble {middle - started:.2f} s the first "
        f"time, {1000 * (ended - middle):.1f} ms from the cache; "
        + ", ".join(f"{name} {size:.0f} kB" for name, size in sizes.items())
        + f"; {report.masks} masks, {report.accepted} accepted, purity {report.purity:.2f}.",
    ]
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=["accuracy", "cost"], default=["accuracy", "cost"])
    parser.add_argument("--students", nargs="+", choices=list(STUDENTS), default=list(STUDENTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120, help="of each student")
    parser.add_argument("--assistant-steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-goodsam"), help="runs, taken up again")
    parser.add_argument("--output", type=Path, help="NAME.md and NAME.json")
    return parser.parse_args()


def budget_of(arguments: argparse.Namespace) -> Budget:
    if arguments.quick:
        return Budget(2, 2, (2, 2, 1), (48, 128), batch=1, assistant="b0")
    # A belt as flat as DensePASS, so that windows are nearly square and 70 degrees wide, as its are.
    return Budget(arguments.assistant_steps, arguments.steps, (400, 48, 16), (96, 448))


def main() -> None:
    arguments = parse()
    torch.set_num_threads(physical_cores())
    budget = budget_of(arguments)
    folder = arguments.folder / ("quick" if arguments.quick else "full")
    environment = machine("cuda" if torch.cuda.is_available() else "cpu")
    names = list(dict.fromkeys(["full", *arguments.students]))
    names.sort(key=list(STUDENTS).index)
    texts = [f"{name}: {value}  " for name, value in environment.items()]
    seeds = []
    benches = [Bench(folder, seed, budget) for seed in range(1 if arguments.quick else arguments.seeds)]
    for bench in benches:
        rows = bench.rows(names) if "accuracy" in arguments.parts else {}
        seeds.append(rows)
        for name, row in rows.items():
            print(f"seed {bench.seed} | {name} | {row['miou']:.3f}", flush=True)
    if "accuracy" in arguments.parts:
        texts += ["", accuracy(seeds)]
    if "cost" in arguments.parts:
        benches[0].assistant(budget.assistant)
        benches[0].student("full")
        texts += ["", cost(budget, benches[0], 2 if arguments.quick else arguments.rounds)]
    print("\n".join(texts))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.with_suffix(".md").write_text("\n".join(texts))
        values = {"environment": environment, "seeds": seeds}
        arguments.output.with_suffix(".json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
