"""Scores of a three-band method over several triples: E2SAM's "C3*", with the spread its paper leaves out."""

from collections import defaultdict
from collections.abc import Mapping

from sensam.evaluate.compare.plan import Entry, Plan
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.statistics import summary
from sensam.methods.triples import Names

CHOICE = "triple"  # the setting by which methods that see three bands take them


def over_triples(plan: Plan, outcome: Outcome) -> list[str]:
    """A line for each choice of methods that see three bands: over several triples, or labelled as of one."""
    found: defaultdict[tuple[str, str], dict[Names, float]] = defaultdict(dict)
    scores = {standing.name: 100 * standing.mean for standing in outcome.standings}
    for name, entry in plan.entries.items():
        if entry.settings.get(CHOICE) and name in scores:
            found[entry.method, _alike(entry)][tuple(entry.settings[CHOICE])] = scores[name]
    return [f"{method}, {summarise(each)}" for (method, _), each in found.items()]


def summarise(scores: Mapping[Names, float]) -> str:
    """Mean and spread, and what every triple has alone; a single triple never passes for a mean."""
    each = "; ".join(f"{' '.join(names)} {score:.1f}" for names, score in scores.items())
    if len(scores) == 1:
        return f"C3, a single triple: {each}"
    mean, spread = summary(list(scores.values()))
    return f"C3* over {len(scores)} triples: {mean:.1f} ± {spread:.1f} ({each})"


def _alike(entry: Entry) -> str:
    """The same for entries that differ in nothing but their triple."""
    settings = {name: value for name, value in entry.settings.items() if name != CHOICE}
    return entry.model_copy(update={"settings": settings}).model_dump_json()
