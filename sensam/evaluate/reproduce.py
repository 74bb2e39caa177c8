"""Run the comparisons behind a paper's claims and judge each claim by what they measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensam.config import MachineSettings
from sensam.data.dataset import open_dataset
from sensam.errors import InputError
from sensam.evaluate.claims.identities import settle_identity
from sensam.evaluate.claims.ledger import Claim, Contrast, Paper
from sensam.evaluate.claims.studies import Scale, check_given, find_data, is_given, load_studies, make_plan, needed
from sensam.evaluate.claims.verdict import Measured, Verdict, judge
from sensam.evaluate.compare.gather import gather, report
from sensam.evaluate.compare.plan import Plan
from sensam.evaluate.compare.runner import forget_failures, open_bench, prepare, work
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.features import has_domains, mixing
from sensam.evaluate.statistics import Difference, compare, pseudovalues, score_of
from sensam.files import write_text
from sensam.methods.rebuilding import load_start
from sensam.train.display import Display
from sensam.version import __version__

Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyOutcome:
    """A finished comparison, and the domain that its entries call home."""

    outcome: Outcome
    home: str | None


def reproduce(
    paper: Paper,
    claims: Sequence[Claim],
    folder: Path,
    scale: Scale,
    machine: MachineSettings,
    *,
    data: Mapping[str, str] | None = None,
    retry: bool = False,
    say: Say = lambda _: None,
) -> list[Verdict]:
    """One verdict for each claim. Started again, finished cells are not computed anew; with `retry` failed ones are."""
    given = data or {}
    check_given(given)
    _, studies = load_studies()
    wanted = needed(claims)
    # A mistake in any of it is said before hours are spent on the rest.
    for source in given.values():
        open_dataset(source)
    if wanted:
        load_start(scale.teacher)
    plans: dict[str, Plan] = {}
    for name, entries in wanted.items():
        scenes = studies[name].scenes
        source = find_data(scenes, given, folder, scale)
        plan = make_plan(name, entries, source, scale, generated=not is_given(scenes, given))
        plans[name] = prepare(plan, folder / paper.key / name)
    found: dict[str, StudyOutcome] = {}
    for name, plan in plans.items():
        out = folder / paper.key / name
        if retry:
            forget_failures(out)
        say(f"study {name}: {', '.join(plan.entries)}")
        work(open_bench(plan, out, machine, Display(None)), say)
        try:
            outcome = gather(plan, out)
        except InputError as mistake:
            say(str(mistake))
            continue
        report(plan, out, outcome)
        homes = {domain for entry in plan.entries.values() for domain in entry.domains or ()}
        found[name] = StudyOutcome(outcome, homes.pop() if homes else None)
    return [verdict_on(claim, found) for claim in claims]


def verdict_on(claim: Claim, found: Mapping[str, StudyOutcome]) -> Verdict:
    """What the finished comparisons say about a claim."""
    if claim.kind == "identity":
        return settle_identity(claim)
    pairs = [(contrast, _measure(contrast, found)) for contrast in claim.scaled]
    measured = [Measured(_title(contrast), difference, _unit(contrast)) for contrast, difference in pairs if difference]
    if claim.kind == "larger gain" and len(measured) == 2:
        gain = _gain_of_gains(claim.scaled, found)
        measured.append(Measured("the first gain - the second", gain))
    if claim.provided is not None:
        learnt = _measure(claim.provided, found)
        if learnt is None or not (learnt.is_real and learnt.value > 0):
            why = (
                f"{claim.provided.left} is within noise of {claim.provided.right}: nothing was learnt that could differ"
            )
            return Verdict(claim.id, "undecided", why, tuple(measured))
    return judge(claim, measured)


def _measure(contrast: Contrast, found: Mapping[str, StudyOutcome]) -> Difference | None:
    return measure_contrast(contrast, found[contrast.study]) if contrast.study in found else None


def measure_contrast(contrast: Contrast, study: StudyOutcome) -> Difference | None:
    """Left minus right, on the seeds and images that both have; None where one did not finish."""
    outcome = study.outcome
    done = outcome.confusions(outcome.full)
    if contrast.left not in done or contrast.right not in done:
        return None
    if contrast.measure in ("trained", "flops"):
        return _counted(contrast, outcome)
    if contrast.measure == "mixing":
        return _mixed(contrast, outcome)
    inside = _inside(contrast, study)
    if inside.sum() < 2:
        return None
    left, right = (100 * pseudovalues(done[name][:, inside]) for name in (contrast.left, contrast.right))
    return compare(left, right)


def _inside(contrast: Contrast, study: StudyOutcome) -> NDArray[np.bool_]:
    """Which images a contrast speaks of."""
    domains = np.array(next(iter(study.outcome.evidence.values())).domains)
    if contrast.domains == "all" or study.home is None:
        return np.ones(len(domains), np.bool_)
    return np.asarray((domains == study.home) == (contrast.domains == "own"))


def _gain_of_gains(contrasts: Sequence[Contrast], found: Mapping[str, StudyOutcome]) -> Difference:
    """How much larger the first gain is than the second, seed by seed: their images are not the same ones."""
    gains = []
    for contrast in contrasts:
        study = found[contrast.study]
        done, inside = study.outcome.confusions(study.outcome.full), _inside(contrast, study)
        left, right = (100 * score_of(done[name][:, inside].sum(1)) for name in (contrast.left, contrast.right))
        gains.append((left - right)[:, None])
    return compare(gains[0], gains[1])


def _mixed(contrast: Contrast, outcome: Outcome) -> Difference | None:
    """How much more the domains mix among the features of the left entry, seed by seed."""
    columns = []
    done = outcome.complete(outcome.full)
    shared = [seed for seed in done[contrast.left] if seed in done[contrast.right]]
    for name in (contrast.left, contrast.right):
        cells = [outcome.evidence[name, seed, outcome.full] for seed in shared]
        if not cells or not all(map(has_domains, cells)):
            return None
        values = [mixing(cell.features_NE, cell.domains) for cell in cells if cell.features_NE is not None]
        columns.append(np.array(values)[:, None])
    return compare(*columns)


def _counted(contrast: Contrast, outcome: Outcome) -> Difference | None:
    left, right = (outcome.costs(name).costs for name in (contrast.left, contrast.right))
    pair = (left.trained, right.trained) if contrast.measure == "trained" else (left.gflops, right.gflops)
    if pair[0] is None or pair[1] is None:
        return None
    value = (pair[0] - pair[1]) / (1e6 if contrast.measure == "trained" else 1)
    return Difference(value, value, value, 0.0, len(outcome.seeds), 0)


def _title(contrast: Contrast) -> str:
    where = {"all": "", "own": ", home domain", "other": ", other domains"}[contrast.domains]
    return f"{contrast.study}: {contrast.left} - {contrast.right}{where}"


def _unit(contrast: Contrast) -> str:
    return {"trained": "M parameters", "flops": "GFLOP", "mixing": "mixing"}.get(contrast.measure, "points")


def write_results(path: Path, paper: Paper, verdicts: Sequence[Verdict], scale: Scale, data: Mapping[str, str]) -> None:
    """Put a paper's verdicts into a results file, beside those of other papers."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    before = content.get(paper.key, {})
    setting = {
        "teacher": scale.teacher,
        "seeds": scale.seeds,
        "steps": scale.length(generated=not data),
        "data": dict(data) or "generated scenes",
    }
    earlier = {name: before.get(name) for name in setting}
    kept = {entry["claim"]: entry for entry in before.get("claims", [])}
    if before and earlier != setting:
        # What was measured otherwise says so from now on: one line above the table would speak for all of it.
        kept = {name: {"setting": earlier, **entry} if entry["measured"] else entry for name, entry in kept.items()}
    kept |= {verdict.claim: _entry(paper, verdict) | _otherwise(paper, verdict, scale, data) for verdict in verdicts}
    for entry in kept.values():
        if entry.get("setting") == setting:
            del entry["setting"]
    content[paper.key] = {
        "title": paper.title,
        **setting,
        "sensam": __version__,
        "claims": [kept[claim.id] for claim in paper.claims if claim.id in kept],
    }
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _otherwise(paper: Paper, verdict: Verdict, scale: Scale, data: Mapping[str, str]) -> dict[str, Any]:
    """The setting of a claim for which data were given for none, or only some, of its studies."""
    _, studies = load_studies()
    scenes = {studies[name].scenes for name in needed([paper.claim(verdict.claim)])}
    generated = {name for name in scenes if not is_given(name, data)}
    if not data or not generated or not verdict.measured:
        return {}
    lengths = {scale.length(generated=name in generated) for name in scenes}
    where = "generated scenes" if generated == scenes else "generated scenes beside given data"
    steps = " or ".join(str(length) for length in sorted(lengths))
    return {"setting": {"teacher": scale.teacher, "seeds": scale.seeds, "steps": steps, "data": where}}


def _entry(paper: Paper, verdict: Verdict) -> dict[str, Any]:
    claim = paper.claim(verdict.claim)
    return {
        "claim": claim.id,
        "says": claim.says,
        "printed": list(paper.differences(claim)),
        "measured": [
            {
                "what": entry.what,
                "unit": entry.unit,
                "value": round(entry.difference.value, 3),
                "low": round(entry.difference.low, 3),
                "high": round(entry.difference.high, 3),
                "p": round(entry.difference.p, 4),
                "seeds": entry.difference.seeds,
            }
            for entry in verdict.measured
        ],
        "verdict": verdict.word,
        "why": verdict.why,
        "cannot": claim.cannot,
    }


def restrict(paper: Paper, names: str) -> list[Claim]:
    """The claims of a comma-separated list; all of them for an empty one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return [paper.claim(name) for name in wanted] if wanted else list(paper.claims)
