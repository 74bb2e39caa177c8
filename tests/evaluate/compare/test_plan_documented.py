"""The plan that the documentation shows is one that is understood."""

from pathlib import Path

import yaml

from sensam.evaluate.compare.plan import parse_plan

PAGE = Path(__file__).parents[3] / "docs" / "compare.md"


def test_the_plan_on_the_page_is_understood() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    plan = parse_plan(yaml.safe_load(text), str(PAGE))
    assert plan.entries["finer"].students_of == "e2sam-gentle"
    assert set(plan.shares) == {0.1, 1.0}
