"""Imports go down only, and no file is long: the folder tree is the architecture."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "sensam"

# A module may import from its own row's name and from any row above. Names in one row do not import each other.
ROWS = (
    ("version", "errors", "complaints", "types", "files", "patches"),
    ("config", "sensors", "radiometry"),
    ("sam", "nn", "data"),
    ("methods",),
    ("train", "infer"),
    ("run",),
    ("maps",),
    ("evaluate", "export"),
    ("cli",),
)
FRIENDS = {"types": {"errors"}, "complaints": {"errors"}, "radiometry": {"sensors"}}
LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """The parts of sensam that a file imports, at the top or inside functions."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "sensam" else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        parts |= {name.split(".")[1] for name in names if name.startswith("sensam.")}
    return parts


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if part_of(path) not in {"__init__", "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    mine = part_of(path)
    assert mine in LEVEL, f"{mine} has no place in the layers: give it one in this test and in CONTRIBUTING.md"
    for theirs in imported_parts(path) - {mine}:
        allowed = LEVEL[theirs] < LEVEL[mine] or theirs in FRIENDS.get(mine, set())
        assert allowed, f"{path.relative_to(PACKAGE)} imports sensam.{theirs}, which is not below sensam.{mine}"


WRITTEN = sorted(
    path for folder in ("sensam", "tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
