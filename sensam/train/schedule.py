"""The learning rate of every step: a linear warm-up, then a cosine that ends at the least rate, or halves."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pure function of the step, so that a resumed run needs nothing but its place."""

    steps: int
    rate: float
    least: float
    warm_up: float  # share of the steps
    halved_every: int | None = None  # steps; instead of the cosine

    @property
    def rising(self) -> int:
        """Steps before the highest rate; at least one is left for it."""
        return min(round(self.warm_up * self.steps), self.steps - 1)

    def at(self, step: int) -> float:
        """The rate of a step, counted from 0."""
        if step < self.rising:
            return self.rate * (step + 1) / (self.rising + 1)
        if self.halved_every is not None:
            return max(self.least, self.rate * 0.5 ** (step // self.halved_every))
        falling = self.steps - 1 - self.rising
        if not falling:
            return self.rate if self.steps == 1 else self.least  # a single step at the least rate would learn nothing
        done = (step - self.rising) / falling
        return self.least + (self.rate - self.least) * (1 + math.cos(math.pi * done)) / 2
