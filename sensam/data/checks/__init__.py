"""What is in a data set and what is wrong with it, found by looking at every file."""

from sensam.data.checks.inspection import Inspection, inspect
from sensam.data.checks.problems import Problem

__all__ = ["Inspection", "Problem", "inspect"]
