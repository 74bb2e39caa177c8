"""Many scenes, and strips of huge ones, over processes or Ray; what dies is done again, what is done is kept."""

import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from sensam.errors import InputError, SensamError
from sensam.files import write_text
from sensam.infer.mapping import MapSettings, SceneJob, Target, is_map
from sensam.infer.voting import Vote
from sensam.infer.workplace import cannot_write

MANIFEST = "manifest.json"
Engine = Literal["process", "ray"]
Status = Literal["waiting", "done", "failed"]
ROWS_A_STRIP = 8  # rows of tiles in a task; each strip predicts the row before it again


class Load(Hashable, Protocol):
    """Makes the model in a worker. Equal ones are made once."""

    def __call__(self) -> Vote: ...


@dataclass(frozen=True, slots=True)
class Order:
    """Everything that is the same for all scenes of an archive."""

    load: Load
    fingerprint: str
    settings: MapSettings


@dataclass(frozen=True, slots=True)
class Task:
    """A strip of tile rows of a scene, or the last step that makes files of all its strips."""

    scene: str
    target: Target
    strip: tuple[int, int] | None = None  # None: finish
    valid: int = 0  # of all strips, to finish with


@dataclass(slots=True)
class Entry:
    """One line of the manifest."""

    scene: str
    status: Status = "waiting"
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of work, over all its tasks
    error: str = ""
    note: str = ""  # of its bands: what was reordered, left out, taken on trust; of what another run had left


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of a task: a mistake of the user's comes back as text, so that nothing tries it again."""

    valid: int = 0
    files: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0


class Pool(Protocol):
    """Where tasks run."""

    def submit(self, task: Task) -> None: ...
    def answers(self) -> Iterator[tuple[Task, Answer]]:
        """What is finished, as it comes, until nothing runs any more. More may be submitted meanwhile."""


class Manifest:
    """What became of every scene, in OUT/manifest.json, for MAP.tif in MAP.manifest.json; written anew after each."""

    def __init__(self, out: Path, scenes: Sequence[str]) -> None:
        self.path = out.with_suffix(f".{MANIFEST}") if is_map(out) else out / MANIFEST
        self.entries = {scene: Entry(scene) for scene in scenes}

    def write(self) -> None:
        try:
            write_text(self.path, json.dumps([asdict(entry) for entry in self.entries.values()], indent=1) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    @property
    def failed(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.status == "failed"]


Report = Callable[[Entry, int, int], None]  # a scene that is over, scenes over so far, scenes in all


def read_list(path: Path) -> list[str]:
    """Scenes, one a line; empty lines and those that begin with # count for nothing."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of scenes ({error}).") from error
    scenes = [line for line in lines if line and not line.startswith("#")]
    if not scenes:
        raise InputError(f"{path} names no scene. Write one a line.")
    return scenes


def map_archive(order: Order, scenes: Sequence[str], out: Path, pool: Pool, report: Report | None = None) -> Manifest:
    """Map all scenes; those that are there already are left alone, and one that fails holds up no other."""
    targets = {scene: Target.of(scene, out, alone=len(scenes) == 1) for scene in scenes}
    _refuse_twins(targets)
    manifest = Manifest(out, scenes)
    open_strips: dict[str, int] = {}
    valid: dict[str, int] = {}
    model = loaded(order.load).model

    def over(scene: str, status: Status, files: Sequence[str] = (), error: str = "") -> None:
        entry = manifest.entries[scene]
        entry.status, entry.files, entry.error = status, list(files), error
        manifest.write()
        if report is not None:
            report(entry, sum(each.status != "waiting" for each in manifest.entries.values()), len(scenes))

    for scene, target in targets.items():
        try:
            job = SceneJob(model, order.fingerprint, scene, target, order.settings)
            entry = manifest.entries[scene]
            entry.note = "; ".join(job.scene.notes)
            if job.is_done:
                over(scene, "done", [str(path) for path in job.outputs])
                continue
            # One place makes the folder, before many write into it.
            entry.note = "; ".join(filter(None, (entry.note, job.open().thrown_away)))
        except SensamError as mistake:
            over(scene, "failed", error=str(mistake))
            continue
        strips = _strips(job.layout.rows.own)
        open_strips[scene], valid[scene] = len(strips), 0
        for strip in strips:
            pool.submit(Task(scene, target, strip))
    for task, answer in pool.answers():
        entry = manifest.entries[task.scene]
        entry.seconds += answer.seconds
        if entry.status == "failed":
            continue
        if answer.error:
            over(task.scene, "failed", error=answer.error)
        elif task.strip is None:
            over(task.scene, "done", answer.files)
        else:
            open_strips[task.scene] -= 1
            valid[task.scene] += answer.valid
            if not open_strips[task.scene]:
                pool.submit(Task(task.scene, task.target, None, valid[task.scene]))
    manifest.write()
    return manifest


def work(order: Order, task: Task) -> Answer:
    """What a worker does with a task. Doing it twice, or going on where another died, gives the same."""
    began = time.perf_counter()
    try:
        vote = loaded(order.load)
        job = SceneJob(vote.model, order.fingerprint, task.scene, task.target, order.settings)
        if task.strip is None:
            files = tuple(map(str, job.complete(task.valid)))
            return Answer(files=files, seconds=time.perf_counter() - began)
        valid = job.run(vote, strip=range(*task.strip))
    except SensamError as mistake:
        return Answer(error=str(mistake), seconds=time.perf_counter() - began)
    return Answer(valid, seconds=time.perf_counter() - began)


@lru_cache(maxsize=1)
def loaded(load: Load) -> Vote:
    """The model, made once in a process for all its tasks."""
    return load()


def _strips(rows: range) -> list[tuple[int, int]]:
    return [(start, min(rows.stop, start + ROWS_A_STRIP)) for start in range(rows.start, rows.stop, ROWS_A_STRIP)]


def _refuse_twins(targets: Mapping[str, Target]) -> None:
    seen: dict[Any, str] = {}
    for scene, target in targets.items():
        if target in seen:
            raise InputError(
                f"{seen[target]} and {scene} would both become {target.file('classes')}. Rename one of them."
            )
        seen[target] = scene
