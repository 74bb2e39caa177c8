"""Times SAM's image encoder, ours against Meta's layout, transformers and timm: forward, training step and memory.

python benchmarks/encoder.py                     everything (about half an hour on two quiet cores)
python benchmarks/encoder.py --quick             256 x 256 only, a minute
python benchmarks/encoder.py --paths chunked fused --sizes 512 --compile
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

import torch
from measuring import (
    Call,
    Ratio,
    compare,
    in_new_process,
    interleave,
    machine,
    matrix_rate,
    peak_above,
    physical_cores,
)
from peers import META, OURS, PEERS, SDPA, build, random_weights
from torch import Tensor, nn

from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.attention import attention_path

PRECISIONS = ("fp32", "bf16 autocast", "bf16 weights")
RIVALS = list(PEERS)
CHECKPOINTING = f"{OURS} checkpointing"
CEILING_BAR = 0.35  # of the rate of matrix products, on an accelerator
FORWARD_BARS = {"fp32": 0.85, "bf16 autocast": 0.75, "bf16 weights": 0.75}
TRAINING_BARS = {256: 0.85, 512: 0.92}
MEMORY_SIZE = 1024
ROUNDS = {256: 9, 512: 5, 1024: 3}


@dataclass
class Report:
    """Everything measured so far, told while it is measured and written in the end."""

    environment: dict[str, str]
    rows: list[dict[str, object]] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    baseline: dict[str, list[float]] = field(default_factory=dict)  # a batch's time in Meta's layout in fp32

    def add_times(self, what: str, seconds: dict[str, list[float]]) -> None:
        for name, each in seconds.items():
            row = {"what": what, "name": name, "median_s": median(each), "low_s": min(each), "high_s": max(each)}
            self.rows.append(row)
            print(f"| {what} | {name} | {1e3 * median(each):.0f} ms | {1e3 * min(each):.0f} - {1e3 * max(each):.0f} |")

    def add_memory(self, what: str, mebibytes: dict[str, float]) -> None:
        for name, peak in mebibytes.items():
            self.rows.append({"what": what, "name": name, "peak_mib": peak})
            print(f"| {what} | {name} | {peak:.0f} MiB | |")

    def add_ratio(self, ratio: Ratio) -> None:
        self.ratios.append(ratio)

    def markdown(self) -> str:
        lines = [f"{name}: {value}  " for name, value in self.environment.items()]
        lines += ["", "| what | ratio | in single rounds | against | bar |", "|---|---|---|---|---|"]
        for r in self.ratios:
            spread = f"{r.low:.2f} - {r.high:.2f}"
            lines.append(f"| {r.what} | **{r.value:.2f}** | {spread} | {r.best} | {r.verdict} |")
        lines += ["", "| what | encoder | median | lowest - highest |", "|---|---|---|---|"]
        for row in self.rows:
            if "peak_mib" in row:
                lines.append(f"| {row['what']} | {row['name']} | {row['peak_mib']:.0f} MiB | |")
            else:
                middle, low, high = (1e3 * float(str(row[key])) for key in ("median_s", "low_s", "high_s"))
                lines.append(f"| {row['what']} | {row['name']} | {middle:.0f} ms | {low:.0f} - {high:.0f} ms |")
        return "\n".join(lines) + "\n"

    def write(self, output: Path) -> None:
        """NAME.md and NAME.json, or the one that is named."""
        output.parent.mkdir(parents=True, exist_ok=True)
        ratios = [asdict(ratio) | {"verdict": ratio.verdict} for ratio in self.ratios]
        values = {"environment": self.environment, "ratios": ratios, "rows": self.rows}
        texts = {".md": self.markdown(), ".json": json.dumps(values, indent=1) + "\n"}
        for suffix in [output.suffix] if output.suffix in texts else texts:
            output.with_suffix(suffix).write_text(texts[suffix])


@dataclass(frozen=True)
class Setting:
    """Which encoders are asked for what, and where."""

    size: int
    precision: str
    device: str
    batch: int = 1

    @property
    def anatomy(self) -> Anatomy:
        return replace(anatomy("b"), image_size=self.size)

    def __str__(self) -> str:
        return f"{self.size}² {self.precision}" + (f", batch {self.batch}" if self.batch > 1 else "")

    @property
    def operations(self) -> float:
        """Floating-point operations of the matrix products; window padding, which nobody needs, is not counted."""
        a, tokens = self.anatomy, self.anatomy.grid**2
        linear = a.depth * 12 * a.width**2 + a.bands * a.patch**2 * a.width
        linear += a.width * a.embedding + 9 * a.embedding**2  # the neck
        keys = len(a.global_blocks) * tokens + (a.depth - len(a.global_blocks)) * a.window**2
        return self.batch * tokens * (2 * linear + 4 * a.width * keys)

    def image(self) -> Tensor:
        image = torch.randn(self.batch, 3, self.size, self.size, generator=torch.Generator().manual_seed(1))
        return image.to(self.device, torch.bfloat16 if self.precision == "bf16 weights" else torch.float32)

    def precise(self) -> AbstractContextManager[object]:
        autocast = self.precision == "bf16 autocast"
        return torch.autocast(self.device, torch.bfloat16) if autocast else nullcontext()

    def build(self, names: list[str], compiled: bool = False) -> dict[str, nn.Module]:
        """The encoders, all around one copy of the weights; with `compiled` the others compiled, ours both ways."""
        dtype = torch.bfloat16 if self.precision == "bf16 weights" else torch.float32
        weights = {name: weight.to(self.device, dtype) for name, weight in random_weights(self.anatomy).items()}
        encoders = {}
        for name in names:
            encoders[name] = build(name.removesuffix(" checkpointing"), self.anatomy, weights)
            if name == CHECKPOINTING:
                encoders[name].checkpointing = True
        if not compiled:
            return encoders
        return {
            **{name: encoder if name == OURS else torch.compile(encoder) for name, encoder in encoders.items()},
            f"{OURS} compiled": torch.compile(build(OURS, self.anatomy, weights)),
        }


def forward(encoder: nn.Module, setting: Setting) -> Call:
    image = setting.image()

    def call() -> Tensor:
        with torch.inference_mode(), setting.precise():
            return encoder(image)

    return call


def training(encoder: nn.Module, setting: Setting) -> Call:
    image = setting.image()

    def call() -> None:
        with setting.precise():
            embedding = encoder(image)
        embedding.float().square().mean().backward()
        encoder.zero_grad()  # otherwise every encoder's gradients stay in memory while the others run

    return call


def verify(names: list[str], device: str) -> None:
    """Stop unless every encoder computes the same, in fp32; say how far half precision takes each."""
    exact = Setting(256, "fp32", device)
    encoders = exact.build(names)
    reference = forward(encoders[META], exact)()
    for name, encoder in encoders.items():
        distance = (forward(encoder, exact)() - reference).abs().max() / reference.abs().max()
        if distance > 1e-4:
            raise SystemExit(f"{name} differs from {META} by {distance:.1e} of its largest value: nothing to time.")
        print(f"{name}: differs from {META} by {distance:.0e} of its largest value in fp32", end="")
        for precision in PRECISIONS[1:]:
            half = Setting(256, precision, device)
            encoder = half.build([name])[name]
            error = (forward(encoder, half)() - reference).norm() / reference.norm()
            print(f", by {error:.1%} of its norm in {precision}", end="")
        print()


def measure_times(
    report: Report,
    setting: Setting,
    what: str,
    make: Callable[[nn.Module, Setting], Call],
    arguments: argparse.Namespace,
) -> None:
    names = [*PEERS, OURS, *(f"{OURS} {path}" for path in arguments.paths)]
    if what == "training step":
        names.append(CHECKPOINTING)
    encoders = setting.build(names, arguments.compile)
    for encoder in encoders.values():
        encoder.train(what == "training step")
    title = f"{what} {setting}" + (", others compiled" if arguments.compile else "")
    rounds = arguments.rounds or (3 if arguments.quick else ROUNDS.get(setting.size, 3))
    clock = time.process_time if arguments.busy else time.perf_counter
    seconds = interleave({name: make(encoder, setting) for name, encoder in encoders.items()}, rounds, clock)
    report.add_times(title, seconds)
    if setting.batch > 1:
        add_accelerator_ratios(report, setting, seconds)
    bars = FORWARD_BARS.get(setting.precision) if what == "forward" else TRAINING_BARS.get(setting.size)
    report.add_ratio(compare(title, seconds, OURS, RIVALS, bars))
    if what == "training step":
        report.add_ratio(compare(f"checkpointing, time, {setting}", seconds, CHECKPOINTING, [OURS], 1.35))
    for extra in (name for name in seconds if name.startswith(OURS) and name not in (OURS, CHECKPOINTING)):
        report.add_ratio(compare(f"{title}: {extra}", seconds, extra, RIVALS, None))


def add_accelerator_ratios(report: Report, setting: Setting, seconds: dict[str, list[float]]) -> None:
    """Against transformers alone and Meta's encoder in fp32; and the share reached of what the device can do."""
    if setting.precision == "fp32":
        report.baseline = {f"{META} fp32": seconds[META]}
        return
    rate = matrix_rate(setting.device, torch.bfloat16)
    ideal = f"matrix products at {rate / 1e12:.0f} TFLOP/s"
    known = seconds | report.baseline | {ideal: [setting.operations / rate] * len(seconds[OURS])}
    for other, bar in ((SDPA, 1 / 1.5), (f"{META} fp32", 1 / 8)):
        if other in known:
            report.add_ratio(compare(f"forward {setting}, ours", known, OURS, [other], bar))
    share = compare(f"forward {setting}, share of the rate of matrix products", known, ideal, [OURS], CEILING_BAR)
    report.add_ratio(replace(share, best=ideal, is_floor=True))


def measure_memory(report: Report, size: int, device: str) -> None:
    for precision in PRECISIONS[:2]:
        peaks = {name: memory_of(name, size, precision, device, "forward") for name in (*PEERS, OURS)}
        title = f"memory above the weights, forward {size}² {precision}"
        report.add_memory(title, peaks)
        report.add_ratio(compare(title, {n: [peak] for n, peak in peaks.items()}, OURS, RIVALS, 0.25))
    for precision in PRECISIONS[:2]:
        names = (SDPA, OURS, CHECKPOINTING)
        peaks = {name: memory_of(name, size, precision, device, "training") for name in names}
        title = f"memory above the weights, training {size}² {precision}"
        report.add_memory(title, peaks)
        once = {name: [peak] for name, peak in peaks.items()}
        report.add_ratio(compare(title, once, OURS, [SDPA], 0.4 if device == "cuda" else None))
        report.add_ratio(compare(f"checkpointing, {title}", once, CHECKPOINTING, [OURS], 0.45))


def memory_of(name: str, size: int, precision: str, device: str, step: str) -> float:
    return in_new_process(__file__, "--device", device, "--peak", name, str(size), precision, step)["peak"]


def print_peak(name: str, size: str, precision: str, step: str, device: str) -> None:
    setting = Setting(int(size), precision, device)
    encoder = setting.build([name])[name]
    call = training(encoder.train(), setting) if step == "training" else forward(encoder, setting)
    print(json.dumps({"peak": peak_above(call, device)}))


def settings(arguments: argparse.Namespace) -> Iterator[Setting]:
    for size in arguments.sizes:
        for precision in PRECISIONS:
            yield Setting(size, precision, arguments.device)
            if arguments.device == "cuda" and size == 1024:
                yield Setting(size, precision, arguments.device, batch=8)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="pixels on a side")
    parser.add_argument("--paths", nargs="+", default=[], help="attention paths of ours to time beside auto")
    parser.add_argument("--compile", action="store_true", help="compare with compiled peers")
    parser.add_argument("--quick", action="store_true", help="256 only, three rounds, no memory")
    parser.add_argument("--busy", action="store_true", help="others use the machine: processor time of one thread")
    parser.add_argument("--rounds", type=int, help="timed rounds of every case")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="NAME.json, NAME.md, or NAME for both")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)  # the memory of one case, for a process of its own
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes = [256]
    for path in arguments.paths:
        attention_path(path)
    return arguments


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1 if arguments.busy else physical_cores())
    if arguments.peak:
        print_peak(*arguments.peak, arguments.device)
        return
    report = Report(machine(arguments.device))
    print("\n".join(f"{name}: {value}" for name, value in report.environment.items()))
    verify([*PEERS, OURS, *(f"{OURS} {path}" for path in arguments.paths)], arguments.device)
    for setting in settings(arguments):
        measure_times(report, setting, "forward", forward, arguments)
        learns = setting.precision != "bf16 weights" and setting.batch == 1
        if learns and (setting.size in TRAINING_BARS or arguments.device == "cuda"):
            measure_times(report, setting, "training step", training, arguments)
    if MEMORY_SIZE in arguments.sizes:
        measure_memory(report, MEMORY_SIZE, arguments.device)
    print(f"\n{report.markdown()}")
    if arguments.output:
        report.write(arguments.output)


if __name__ == "__main__":
    main()
