"""Everything a check finds: the facts, the problems, the cost."""

from collections.abc import Callable
from dataclasses import dataclass

from sensam.data.checks.estimates import Estimate, estimate
from sensam.data.checks.files import (
    problems_of_headers,
    problems_of_leftovers,
    problems_of_pairing,
    problems_of_reading,
)
from sensam.data.checks.giveaway import problems_of_giveaways
from sensam.data.checks.leaks import problems_of_copies, problems_of_ground
from sensam.data.checks.problems import Problem, in_order
from sensam.data.checks.survey import Survey, survey
from sensam.data.checks.values import (
    problems_of_bands,
    problems_of_classes,
    problems_of_masks,
    problems_of_statistics,
    problems_of_swapped_files,
)
from sensam.data.dataset import Dataset
from sensam.data.pairing import Item


@dataclass(frozen=True, slots=True)
class Inspection:
    """The facts of a data set and what is wrong with it."""

    survey: Survey
    problems: tuple[Problem, ...]  # errors first
    estimate: Estimate | None

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def inspect(dataset: Dataset, on_item: Callable[[Item], None] = lambda _: None) -> Inspection:
    """Read every file once and judge what was found."""
    found = survey(dataset, on_item)
    problems = [
        *problems_of_pairing(dataset),
        *problems_of_reading(found),
        *problems_of_swapped_files(found),
        *problems_of_headers(found),
        *problems_of_bands(found),
        *problems_of_masks(found),
        *problems_of_classes(found),
        *problems_of_ground(found),
        *problems_of_copies(found),
        *problems_of_giveaways(found),
        *problems_of_statistics(found),
        *problems_of_leftovers(dataset),
    ]
    return Inspection(found, tuple(in_order(problems)), estimate(found))
