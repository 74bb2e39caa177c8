"""What pyproject.toml promises about itself."""

from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_every_lower_bound_says_why() -> None:
    bounds = [line for line in PYPROJECT.read_text(encoding="utf-8").splitlines() if ">=" in line.partition("#")[0]]
    assert len(bounds) > 30
    assert not [line for line in bounds if not line.partition("#")[2].strip()]
