"""Who computes what: claims as plain files, so that processes and machines that share a folder share the work."""

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT = 20.0  # seconds between two signs of life
STALE = 180.0  # seconds without one after which a claim is nobody's


class Queue:
    """A folder of claims. A claim is made by creating a file that nobody else can create as well."""

    def __init__(self, folder: Path, *, beat: float = BEAT, stale: float = STALE) -> None:
        self.folder, self.beat, self.stale = folder, beat, stale
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Whether the work of this name is ours; if so, it stays so, with signs of life, until the block ends."""
        path = self.folder / f"{name}.claim"
        if not self._take(path):
            yield False
            return
        stopped = threading.Event()
        thread = threading.Thread(target=self._live, args=(path, stopped), daemon=True)
        thread.start()
        try:
            yield True
        finally:
            stopped.set()
            thread.join()
            if _is_ours(path):
                path.unlink()

    def sweep(self) -> None:
        """Remove claims of the dead: who dies with the work written leaves one that nobody would ask for again."""
        for path in self.folder.glob("*.claim"):
            if self._is_stale(path) and self._take(path):
                path.unlink()

    def _take(self, path: Path) -> bool:
        if _create(path):
            return True
        if not self._is_stale(path):
            return False
        # Only one of those who see a stale claim can move it away; the others find it gone and try like anybody.
        grave = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.stale")
        try:
            path.rename(grave)
        except FileNotFoundError:
            return _create(path)
        if not self._is_stale(grave):  # somebody took it over between our look and our move: give it back
            os.link(grave, path)
            grave.unlink()
            return False
        grave.unlink()
        return _create(path)

    def _is_stale(self, path: Path) -> bool:
        """Of a process that is gone, or on another machine and silent for long."""
        try:
            claim = json.loads(path.read_text(encoding="utf-8") or "{}")
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        except json.JSONDecodeError:
            claim, age = {}, time.time() - path.stat().st_mtime
        if claim.get("host") == platform.node() and not _is_alive(int(claim["pid"])):
            return True
        return age > self.stale

    def _live(self, path: Path, stopped: threading.Event) -> None:
        while not stopped.wait(self.beat):
            try:
                os.utime(path)
            except FileNotFoundError:  # taken from us, because we were silent for too long
                return


def _create(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"host": platform.node(), "pid": os.getpid()}, file)
    return True


def _is_ours(path: Path) -> bool:
    """Whether the claim still names this process: another may have taken it over while this one slept."""
    try:
        claim = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(claim == {"host": platform.node(), "pid": os.getpid()})


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
