"""Times a step of inheritance: E2SAM's authors' scheme written plainly, against ours, live, from a cache, and with more
triples to a step. Whole steps with optimiser, and their memory.

The plain scheme: attention with all scores in memory, the teacher live in every step, gradients also for the frozen
half of the neck, the default AdamW. All cases share their weights and compute the same loss, which is checked first.

python benchmarks/distill.py                     teachers b and h at 256 x 256 (about an hour on two quiet cores)
python benchmarks/distill.py --quick             nano at 128 x 128, a minute
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from encoder import Report
from measuring import compare, in_new_process, interleave, machine, peak_above, physical_cores
from peers import META, MetaNorm, Weights, build, random_weights
from torch import Tensor, nn

from sensam.methods.base import Moment, Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.methods.tutor import Targets
from sensam.nn.surgery import freeze_all_but
from sensam.sam.anatomy import Anatomy, anatomy
from sensam.sam.model import Sam
from sensam.sensors import Sensor
from sensam.types import Batch

AUTHORS, LIVE, CACHED, GIVEN = "authors' scheme", "ours, live", "ours, cached", "ours, targets given"
BARS = {  # (teacher, triples): of the step from a cache, against the authors'
    ("b", 1): 1 / 1.6,
    ("b", 4): 1 / 2.8,
    ("h", 1): 1 / 4,
    ("h", 4): 1 / 11,
}
BOOKKEEPING = 1.03  # of a step whose targets are at hand
RATE = 1e-4


@dataclass(frozen=True)
class Setting:
    """A student and a teacher, and what they look at."""

    student: str
    teacher: str
    size: int
    bands: int
    precision: str
    device: str
    triples: int = 1
    batch: int = 1

    @property
    def anatomies(self) -> tuple[Anatomy, Anatomy]:
        """Of the student and of the teacher, for this size."""
        student, teacher = (replace(anatomy(name), image_size=self.size) for name in (self.student, self.teacher))
        return replace(student, bands=self.bands, embedding=teacher.embedding), teacher

    def __str__(self) -> str:
        several = f", {self.triples} triples" if self.triples > 1 else ""
        return f"{self.teacher} to {self.student}, {self.size}² {self.precision}{several}"

    def image(self) -> Tensor:
        dice = torch.Generator().manual_seed(1)
        return torch.randn(self.batch, self.bands, self.size, self.size, generator=dice).to(self.device)

    def precise(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def weights_of(setting: Setting) -> tuple[Weights, Weights]:
    """Of the student and of the teacher: one copy, whoever uses it."""
    student, teacher = (
        {n: w.to(setting.device) for n, w in random_weights(each).items()} for each in setting.anatomies
    )
    return student, teacher


class PlainScheme(nn.Module):
    """Section 3.2 as its authors coded it."""

    def __init__(self, setting: Setting, weights: tuple[Weights, Weights]) -> None:
        super().__init__()
        student, teacher = setting.anatomies
        self.setting = setting
        self.student = build(META, student, {name: weight.clone() for name, weight in weights[0].items()})
        self.teacher = build(META, teacher, weights[1])
        wide, out = student.width, teacher.embedding
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(wide, out), nn.LayerNorm(out)) for _ in range(setting.bands)
        )
        self.merge = nn.Sequential(nn.Conv2d(3 * out, out, 1, bias=False), MetaNorm(out, 1e-6))
        self.to(setting.device)
        learning = [*self.student.parameters(), *self.branches.parameters(), *self.merge.parameters()]
        self.optimiser = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.05)

    def loss(self, image_BCHW: Tensor, triples: list[list[int]]) -> Tensor:
        tokens = self._tokens(self.student, image_BCHW)
        losses = []
        for triple in triples:
            with torch.no_grad():
                seen = self._tokens(self.teacher, image_BCHW[:, triple]).permute(0, 3, 1, 2)
                target = self.teacher.neck(seen)
            columns = torch.cat([self.branches[band](tokens) for band in triple], -1).permute(0, 3, 1, 2)
            found = self.teacher.neck[3](self.teacher.neck[2](self.merge(columns)))
            losses.append(nn.functional.mse_loss(found, target))
        return torch.stack(losses).mean()

    @staticmethod
    def _tokens(encoder: nn.Module, image_BCHW: Tensor) -> Tensor:
        x = encoder.patch_embed["proj"](image_BCHW).permute(0, 2, 3, 1) + encoder.pos_embed
        for block in encoder.blocks:
            x = block(x)
        return x

    def step(self) -> float:
        image = self.setting.image()
        triples = [torch.randperm(self.setting.bands)[:3].tolist() for _ in range(self.setting.triples)]
        self.optimiser.zero_grad()
        with self.setting.precise():
            loss = self.loss(image, triples)
        loss.backward()
        self.optimiser.step()
        return loss.item()


class OurScheme:
    """The stage `inherit` of the method e2sam, with the optimiser of our training loop."""

    def __init__(self, setting: Setting, weights: tuple[Weights, Weights], folder: Path | None) -> None:
        self.setting = setting
        self.method = make_method(setting, weights, folder)
        self.stage = self.method.stages[0]
        moving = freeze_all_but(self.method, self.stage.learns)
        learning = [weight for name, weight in self.method.named_parameters() if name in moving]
        self.optimiser = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.05, fused=True)
        self.method.train()

    def batch(self) -> Batch:
        image = self.setting.image()
        valid = torch.ones(image[:, 0].shape, dtype=torch.bool, device=image.device)
        names = tuple(f"image-{row}" for row in range(len(image)))
        return Batch(image, valid, None, names, names)

    def loss(self) -> Tensor:
        return self.stage.loss(self.batch(), Moment(0, 0, 0, range(self.setting.batch)))["loss"]

    def step(self) -> float:
        self.optimiser.zero_grad()
        with self.setting.precise():
            loss = self.loss()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def make_method(setting: Setting, weights: tuple[Weights, Weights], folder: Path | None) -> E2Sam:
    """The method around given weights; nothing that a step does not use is built."""
    _, teacher = setting.anatomies
    with torch.device("meta"):
        sam = Sam(teacher)
    sam.vision_encoder.load_state_dict(weights[1], assign=True)
    bands = [{"name": f"b{number}", "mean": 0.0, "std": 1.0} for number in range(setting.bands)]
    task = Task(Sensor.from_dict({"name": "made", "bands": bands}), ("a", "b"), sam, setting.size)
    # Noise is left out, so that both schemes compute the same; the authors draw theirs while they load.
    config = E2SamConfig(
        student=setting.student,
        noise=0,
        triples=setting.triples,
        cache=folder,
        bank=setting.triples if folder else None,
    )
    method = E2Sam(task, config)
    method.net.encoder.anatomy = setting.anatomies[0]
    method.net.encoder.pos_embed = nn.Parameter(torch.empty_like(weights[0]["pos_embed"]))
    for name, layer in method.net.encoder.named_modules():
        for table in ("rel_pos_h", "rel_pos_w"):
            if hasattr(layer, table):
                setattr(layer, table, nn.Parameter(torch.empty_like(weights[0][f"{name}.{table}"])))
    method.net.encoder.load_state_dict(weights[0])
    return method.to(setting.device)


def verify(setting: Setting, weights: tuple[Weights, Weights]) -> None:
    """Stop unless both schemes compute the same loss of the same triples."""
    plain, ours = PlainScheme(setting, weights), OurScheme(setting, weights, None)
    plain.branches.load_state_dict(
        {n.removeprefix("of_band."): w for n, w in ours.method.branches.state_dict().items()}
    )
    merge = ours.method.merge.state_dict()
    plain.merge[0].weight.data.copy_(merge["mix.weight"][:, :, None, None])
    with torch.no_grad():
        triples = ours.method._draw(ours.batch(), Moment(0, 0, 0, range(setting.batch)))[0].tolist()
        theirs, mine = plain.loss(setting.image(), triples), ours.loss()
    if abs(theirs - mine) > 1e-4 * theirs:
        raise SystemExit(f"The losses differ, {theirs:.6f} and {mine:.6f}: there is nothing to compare.")
    print(f"{setting}: both compute {mine:.5f}")


def cases(setting: Setting, weights: tuple[Weights, Weights], folder: Path) -> dict[str, Callable[[], float]]:
    """A step of every scheme; the cached one has seen its triples once."""
    plain, live = PlainScheme(setting, weights), OurScheme(setting, weights, None)
    cached, given = OurScheme(setting, weights, folder), OurScheme(setting, weights, folder)
    cached.step()
    batch = cached.batch()
    triples = cached.method._draw(batch, Moment(0, 0, 0, range(setting.batch)))
    targets = Targets(cached.method.teacher.teach(batch, batch.image_BCHW, triples).maps_RhwE.clone(), 1.0)
    given.method.teacher.teach = lambda *_: targets
    return {AUTHORS: plain.step, LIVE: live.step, CACHED: cached.step, GIVEN: given.step}


def measure_steps(report: Report, setting: Setting, rounds: int) -> None:
    weights = weights_of(setting)
    verify(replace(setting, precision="fp32"), weights)
    for triples in (1, 4):
        with tempfile.TemporaryDirectory() as folder:
            several = replace(setting, triples=triples)
            seconds = interleave(cases(several, weights, Path(folder)), rounds)
        title = f"step, {several}"
        report.add_times(title, seconds)
        report.add_ratio(compare(f"{title}: live", seconds, LIVE, [AUTHORS], None))
        is_real = setting.student == "b"  # of nano, a step is too short to say anything about a bar
        bar = BARS.get((setting.teacher, triples)) if is_real else None
        report.add_ratio(compare(f"{title}: cached", seconds, CACHED, [AUTHORS], bar))
        report.add_ratio(
            compare(f"{title}: keeping features", seconds, CACHED, [GIVEN], BOOKKEEPING if is_real else None)
        )


def measure_memory(report: Report, setting: Setting) -> None:
    facts = (setting.student, setting.teacher, setting.size, setting.bands, setting.precision, setting.triples)
    peaks = {
        name: in_new_process(__file__, "--device", setting.device, "--peak", name, *map(str, facts))["peak"]
        for name in (AUTHORS, LIVE, CACHED)
    }
    title = f"memory above the weights, {setting}"
    report.add_memory(title, peaks)
    report.add_ratio(compare(title, {name: [peak] for name, peak in peaks.items()}, CACHED, [AUTHORS], None))


def print_peak(name: str, device: str, facts: list[str]) -> None:
    student, teacher, size, bands, precision, triples = facts
    setting = Setting(student, teacher, int(size), int(bands), precision, device, int(triples))
    with tempfile.TemporaryDirectory() as folder:
        if name == AUTHORS:
            step = PlainScheme(setting, weights_of(setting)).step
        else:
            ours = OurScheme(setting, weights_of(setting), Path(folder) if name == CACHED else None)
            if name == CACHED:  # as in every epoch but the first
                with torch.no_grad():
                    ours.loss()
            step = ours.step
        print(json.dumps({"peak": peak_above(step, device)}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="b", help="size of the student")
    parser.add_argument("--teachers", nargs="+", default=["b", "h"], help="sizes of the teacher")
    parser.add_argument("--size", type=int, default=256, help="pixels on a side")
    parser.add_argument("--bands", type=int, default=16)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="nano teaches nano at 128 pixels, three rounds")
    parser.add_argument("--busy", action="store_true", help="others use the machine: one thread")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="NAME.json, NAME.md, or NAME for both")
    parser.add_argument("--peak", nargs=7, help=argparse.SUPPRESS)  # the memory of one case, in a process of its own
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.student, arguments.teachers, arguments.size, arguments.rounds = "nano", ["nano"], 128, 3
    return arguments


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1 if arguments.busy else physical_cores())
    device = arguments.device
    if arguments.peak:
        print_peak(arguments.peak[0], device, arguments.peak[1:])
        return
    report = Report(machine(device))
    for teacher in arguments.teachers:
        for precision in arguments.precisions:
            setting = Setting(arguments.student, teacher, arguments.size, arguments.bands, precision, device)
            measure_steps(report, setting, arguments.rounds)
        measure_memory(report, replace(setting, precision="fp32"))
    print(f"\n{report.markdown()}")
    if arguments.output:
        report.write(arguments.output)


if __name__ == "__main__":
    main()
