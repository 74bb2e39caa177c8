"""Times the discrepancy (MMD) over maps with its gradient, the published form against ours; memory, and exactness.

python benchmarks/mmd.py                         a minute
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from encoder import Report
from measuring import compare, in_new_process, interleave, machine, peak_above, physical_cores
from torch import Tensor

from sensam.nn.mmd import mmd_of_maps

TIME, MEMORY, ERROR = 1 / 8, 1 / 5, 1e-4
SET = (5, 1 << 20)  # maps and numbers in each


def published(student_BF: Tensor, teacher_BF: Tensor) -> Tensor:
    """MMD as released: every difference in memory."""
    both = torch.cat([student_BF, teacher_BF])
    distances = (both[None] - both[:, None]).square().sum(2)
    n, count = len(both), len(student_BF)
    kernel = torch.exp(-distances / (distances.detach().sum() / (n * n - n)))
    return (kernel[:count, :count] + kernel[count:, count:] - kernel[:count, count:] - kernel[count:, :count]).mean()


def with_gradient(form: Callable[[Tensor, Tensor], Tensor], device: str) -> Callable[[], float]:
    student, teacher = (torch.randn(*SET, generator=torch.Generator().manual_seed(n)).to(device) for n in (0, 1))
    student.requires_grad_()

    def call() -> float:
        student.grad = None
        loss = form(student, teacher)
        loss.backward()
        return loss.item()

    return call


def measure(report: Report, device: str, rounds: int) -> None:
    title = f"MMD with its gradient, {SET[0]} x {SET[1]}"
    seconds = interleave({name: with_gradient(form, device) for name, form in FORMS.items()}, rounds)
    report.add_times(title, seconds)
    report.add_ratio(compare(title, seconds, "ours", ["published form"], TIME))
    peaks = {name: in_new_process(__file__, "--device", device, "--peak", name)["peak"] for name in FORMS}
    report.add_memory(f"memory, {title}", peaks)
    once = {name: [peak] for name, peak in peaks.items()}
    report.add_ratio(compare(f"memory, {title}", once, "ours", ["published form"], MEMORY))
    small = (SET[0], SET[1] // 8)  # float64 of the published form would not fit otherwise
    student, teacher = (torch.randn(*small, generator=torch.Generator().manual_seed(n)).to(device) for n in (0, 1))
    gradients = []
    for form, dtype in ((published, torch.float64), (mmd_of_maps, torch.float32)):
        leaf = student.to(dtype).requires_grad_()
        loss = form(leaf, teacher.to(dtype))
        gradients.append((loss.item(), torch.autograd.grad(loss, leaf)[0].double()))
    (exact, exact_gradient), (found, gradient) = gradients
    errors = abs(found / exact - 1), ((gradient - exact_gradient).norm() / exact_gradient.norm()).item()
    verdict = "met" if max(errors) <= ERROR else "NOT MET"
    print(f"MMD against float64: value off by {errors[0]:.1e}, gradient by {errors[1]:.1e}; <= {ERROR:.0e} {verdict}")


FORMS = {"published form": published, "ours": mmd_of_maps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="others use the machine: one thread")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="NAME.json, NAME.md, or NAME for both")
    parser.add_argument("--peak", choices=list(FORMS), help=argparse.SUPPRESS)  # memory, in a process of its own
    arguments = parser.parse_args()
    torch.set_num_threads(1 if arguments.busy else physical_cores())
    if arguments.peak:
        print(
            json.dumps({"peak": peak_above(with_gradient(FORMS[arguments.peak], arguments.device), arguments.device)})
        )
        return
    report = Report(machine(arguments.device))
    measure(report, arguments.device, arguments.rounds)
    print(f"\n{report.markdown()}")
    if arguments.output:
        report.write(arguments.output)


if __name__ == "__main__":
    main()
