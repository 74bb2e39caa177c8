"""Honest numbers: interleaved rounds, ratios within a round, memory in a process of its own, and on what machine."""

import ctypes
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

Call = Callable[[], object]
Clock = Callable[[], float]


def physical_cores() -> int:
    """Cores this process may use, siblings of one core counted once."""
    cores = set()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text() if siblings.exists() else cpu)
    return len(cores)


def machine(device: str) -> dict[str, str]:
    """What the numbers belong to."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": (names or [platform.processor() or platform.machine()])[0],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "accelerator": torch.cuda.get_device_name() if device == "cuda" else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleave(calls: dict[str, Call], rounds: int, clock: Clock = time.perf_counter) -> dict[str, list[float]]:
    """Seconds of every call in every round. All take their turn in each round, so that a slow minute hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            synchronise()
            start = clock()
            call()
            synchronise()
            if number:  # the first round warms up
                seconds[name].append(clock() - start)
    return seconds


@dataclass(frozen=True)
class Ratio:
    """Ours over the best of the others, its lowest and highest value in a round, and the bar it must not pass."""

    what: str
    value: float
    low: float
    high: float
    best: str
    bar: float | None
    is_floor: bool = False  # the bar must be reached, not stayed under

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        is_met = self.value >= self.bar if self.is_floor else self.value <= self.bar
        return f"{'>=' if self.is_floor else '<='} {self.bar:.2f} {'met' if is_met else 'NOT MET'}"


def compare(what: str, seconds: dict[str, list[float]], ours: str, others: list[str], bar: float | None) -> Ratio:
    """The ratio of medians to the fastest of the others."""
    medians = {name: statistics.median(seconds[name]) for name in (ours, *others)}
    best = min(others, key=medians.__getitem__)
    each = [mine / theirs for mine, theirs in zip(seconds[ours], seconds[best], strict=True)]
    return Ratio(what, medians[ours] / medians[best], min(each), max(each), best, bar)


def matrix_rate(device: str, dtype: torch.dtype, side: int = 8192, rounds: int = 10) -> float:
    """Floating-point operations a second in a large matrix product: nothing on this machine is faster."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = interleave({"product": lambda: left @ right}, rounds)["product"]
    return 2 * side**3 / min(seconds)


def in_new_process(script: str, *arguments: str) -> dict[str, float]:
    """What a fresh run of the script prints as JSON on its last line."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def peak_above(call: Call, device: str) -> float:
    """MiB that a call needs at its highest, above what is held when it begins."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    _give_back_free_memory()
    held = _resident("VmRSS")
    call()
    return _resident("VmHWM") - held


def _give_back_free_memory() -> None:
    """Memory freed while building would otherwise serve the call unseen; and the high-water mark starts anew."""
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def _resident(field: str) -> float:
    """MiB of this process, now (VmRSS) or at the highest (VmHWM)."""
    if sys.platform != "linux":  # only the highest is known: right as long as building took less than the call
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 2**10
