"""The answer of a comparison in words: who is ahead, by how much, how sure, and what to take."""

from dataclasses import dataclass

from sensam.evaluate.outcome import Outcome
from sensam.evaluate.statistics import Standing

FASTER = 1.1  # times, from which on a shorter training is a reason


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Which entry to take, why, and the command that trains it."""

    entry: str
    reason: str
    command: str


def in_points(value: float) -> str:
    """A share as points of 100."""
    return f"{100 * value:.1f}"


def part_name(outcome: Outcome) -> str:
    """What the split that decides is for."""
    return "test" if outcome.part == "test" else "validation"


def headline(outcome: Outcome) -> str:
    """The result in one or two sentences."""
    standings = outcome.standings
    best = standings[0]
    seeds = len(next(iter(outcome.confusions(outcome.full).values())))
    reached = f"{best.name} is ahead with {in_points(best.mean)}"
    if seeds > 1:
        reached += f" ± {in_points(best.deviation)}"
    reached += f" mIoU on the {part_name(outcome)} split"
    if len(standings) == 1:
        return f"{reached}. Nothing was compared with it."
    if seeds == 1:
        return f"{reached}, but one seed cannot tell merit from luck: run at least three before you decide."
    level = [standing.name for standing in standings[1:] if standing.is_level]
    if not level:
        return f"{reached}, and nothing else is within noise of it."
    if len(level) == len(standings) - 1:
        return (
            f"{reached}, but within noise: these {seeds} seeds do not tell any of the {len(standings)} entries apart."
        )
    return f"{reached}; within noise of it: {', '.join(level)}."


def ranking_lines(outcome: Outcome) -> list[str]:
    """One sentence for each entry, best first."""
    return [_standing_line(place, standing) for place, standing in enumerate(outcome.standings, start=1)]


def _standing_line(place: int, standing: Standing) -> str:
    spread = f" ± {in_points(standing.deviation)}" if standing.behind is None or standing.behind.seeds > 1 else ""
    start = f"{place}. {standing.name}: {in_points(standing.mean)}{spread}"
    behind = standing.behind
    if behind is None or standing.p is None:
        return start
    gap = f"{in_points(behind.value)} behind (95 %: {in_points(behind.low)} to {in_points(behind.high)})"
    if behind.seeds == 1:
        return f"{start}, {gap} over images; with one seed no difference counts as real"
    if standing.is_level:
        return f"{start}, {gap}: within noise (p {_p(standing.p)})"
    return f"{start}, {gap}: a real difference (p {_p(standing.p)})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def recommend(outcome: Outcome) -> Recommendation:
    """The best, or the quickest to train of those that may be as good and are clearly quicker.

    Being within noise is not enough: with few images, or many entries, so is what lies far behind. The interval of its
    own difference must reach zero as well.
    """
    standings = outcome.standings
    best = standings[0]
    if len(standings) == 1:
        return Recommendation(best.name, "It is the only entry that finished.", outcome.costs(best.name).command)
    level = [standing for standing in standings if standing.is_level]
    equals = [standing for standing in level if standing.behind is None or standing.behind.low <= 0]
    seconds = {standing.name: outcome.costs(standing.name).costs.all_seconds for standing in equals}
    faster = {name: seconds[best.name] / max(own, 1e-9) for name, own in seconds.items()}
    quicker = [standing for standing in equals if standing is best or faster[standing.name] >= FASTER]
    chosen = min(quicker, key=lambda standing: (seconds[standing.name], -standing.mean))
    command = outcome.costs(chosen.name).command
    if len(level) == 1:
        return Recommendation(best.name, "It is ahead of every other entry by more than noise.", command)
    if chosen is best:
        return Recommendation(best.name, "It is ahead, and none that may be as good trains clearly faster.", command)
    ahead, times = in_points(best.mean - chosen.mean), faster[chosen.name]
    return Recommendation(
        chosen.name,
        f"It is within noise of {best.name}, which is ahead by {ahead}, and trains {times:.1f} times faster.",
        command,
    )
