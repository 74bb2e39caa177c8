"""Reproduction measures what a claim speaks of, keeps its results, and its table is generated from them."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sensam.config import MachineSettings
from sensam.data.synthetic import family, write
from sensam.errors import InputError, SettingsError, WeightsError
from sensam.evaluate import reproduce as reproduction
from sensam.evaluate.claims import load_paper, load_papers
from sensam.evaluate.claims.ledger import Contrast
from sensam.evaluate.claims.studies import Scale, check_given, find_data, is_given, load_studies, make_plan, needed
from sensam.evaluate.claims.table import BEGIN, END, current, put_table, read_results, render
from sensam.evaluate.claims.verdict import Measured, Verdict
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.reproduce import StudyOutcome, measure_contrast, reproduce, restrict, verdict_on, write_results
from sensam.evaluate.statistics import Difference
from tests.evaluate.made_up import made_up_outcome

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "claims.json"


def study(skills: dict[str, float], **options: object) -> StudyOutcome:
    outcome: Outcome = made_up_outcome(skills, shares=(1.0,), **options)  # type: ignore[arg-type]
    return StudyOutcome(outcome, "noon")


def test_every_claim_names_entries_that_exist() -> None:
    scenes, studies = load_studies()
    for paper in load_papers():
        for name, entries in needed(paper.claims).items():
            assert set(entries) <= set(studies[name].entries), (paper.key, name)
    asked = {name for paper in load_papers() for name in needed(paper.claims)}
    assert asked == set(studies)
    assert {each.scenes for each in studies.values()} == set(scenes)


def test_short_recipes_are_for_generated_scenes_alone(tmp_path: Path) -> None:
    data = str(write(family("seafog"), tmp_path, seed=1, counts={"train": 1, "val": 1, "test": 1}, size=(32, 32)))
    ours, theirs = (make_plan("fog", ["e2sam", "scratch"], data, Scale(), generated=each) for each in (True, False))
    assert ours.inherit == {"optimiser": "muon"}
    assert (ours.shares, theirs.shares) == ((0.05,), (1.0,))
    assert ours.train.rate == 1e-3
    assert ours.entries["e2sam"].settings["encoder_rate"] == 0.1
    assert not theirs.inherit
    assert "rate" not in theirs.train.model_fields_set
    assert not theirs.entries["e2sam"].settings
    assert (ours.entries["e2sam"].inherit_steps, theirs.entries["e2sam"].inherit_steps) == (400, 100_000)
    assert (ours.train.size, theirs.train.size) == (64, 1024)
    assert (ours.steps, theirs.steps) == (200, 50_000)
    small = make_plan("fog-small", ["e2sam", "sam3"], data, Scale(), generated=False)
    assert small.train.size == 512
    shorter = make_plan("fog", ["e2sam"], data, Scale(steps=9, size=96), generated=False)
    assert (shorter.steps, shorter.train.size, shorter.entries["e2sam"].inherit_steps) == (9, 96, 18)
    assert find_data("fog", {"sfdd-h8": "/data/h8"}, tmp_path, Scale()) == "/data/h8"
    assert is_given("fog", {"sfdd-h8": "x"})
    assert is_given("fog", {"fog": "x"})
    assert not is_given("fog", {"drive": "x"})


def test_a_clear_order_is_supported_and_its_opposite_is_not() -> None:
    claim = load_paper("e2sam").claim("A2")
    right = {name: study({"scratch-3": 0.5, "sam3": 0.9}) for name in ("fog", "drive")}
    wrong = {**right, "drive": study({"scratch-3": 0.9, "sam3": 0.5})}
    same = {**right, "drive": study({"scratch-3": 0.7, "sam3": 0.7})}
    assert [verdict_on(claim, found).word for found in (right, wrong, same)] == [
        "supported",
        "not supported",
        "undecided",
    ]


def test_differences_are_in_points_of_the_pooled_score() -> None:
    found = study({"a": 0.5, "b": 0.9})
    difference = measure_contrast(Contrast(study="s", left="b", right="a"), found)
    assert difference is not None
    means = {standing.name: standing.mean for standing in found.outcome.standings}
    assert difference.value == pytest.approx(100 * (means["b"] - means["a"]), abs=1.0)
    assert difference.low < difference.value < difference.high
    assert measure_contrast(Contrast(study="s", left="b", right="absent"), found) is None


def test_own_and_other_domains_are_different_images() -> None:
    found = study({"a": 0.5, "b": 0.9}, images=21)
    counts = {}
    for where in ("all", "own", "other"):
        difference = measure_contrast(Contrast(study="s", left="b", right="a", domains=where), found)  # type: ignore[arg-type]
        assert difference is not None
        counts[where] = difference.images
    assert counts == {"all": 21, "own": 11, "other": 10}


def test_parity_without_learning_is_undecided() -> None:
    claim = load_paper("e2sam").claim("A5")
    equal = {"scratch": 0.4, "sam3": 0.8, "e2sam": 0.8}
    assert verdict_on(claim, {"fog-small": study(equal)}).why != ""
    unlearnt = verdict_on(claim, {"fog-small": study(dict.fromkeys(equal, 0.5))})
    assert (unlearnt.word, "nothing was learnt" in unlearnt.why) == ("undecided", True)


def test_a_study_of_which_nothing_finished_is_not_measured() -> None:
    words = {verdict_on(claim, {}).word for paper in load_papers() for claim in paper.claims if not claim.identity}
    assert words <= {"not measured", "undecided"}
    assert verdict_on(load_paper("e2sam").claim("A1"), {}).word == "not measured"


def test_costs_are_counted() -> None:
    claims = load_paper("cwsam").claims
    found = {"sar": study({"unet": 0.5, "cwsam": 0.6})}  # the second entry of a made-up comparison trains fewer
    words = {claim.id: verdict_on(claim, found).word for claim in claims}
    assert words["C2"] == "supported"
    assert words["C3"] == "not supported"  # and needs more operations


def test_mixing_compares_features_seed_by_seed() -> None:
    random = np.random.default_rng(0)
    base = study({"scratch": 0.5, "e2sam": 0.6})
    features = {}
    for key, cell in base.outcome.evidence.items():
        apart = 0.0 if key[0] == "e2sam" else 20.0
        side = np.array([[apart if domain == "noon" else 0.0] for domain in cell.domains])
        features[key] = replace(cell, features_NE=(random.normal(0, 1, (len(side), 4)) + side).astype(np.float32))
    found = {"drive": StudyOutcome(replace(base.outcome, evidence=features), None)}
    assert verdict_on(load_paper("e2sam").claim("A10"), found).word == "supported"


@pytest.mark.slow
def test_a_small_reproduction_from_nothing_to_verdicts(
    tiny_sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "report", lambda *_: None)
    scale = Scale(seeds=2, steps=2, teacher=str(tiny_sam), batch=2, size=32, scenes=9)
    paper = load_paper("e2sam")
    claims = restrict(paper, "a6, A9")
    run = partial(reproduce, paper, claims, tmp_path / "out", scale, MachineSettings(accelerator="cpu"))
    verdicts = run()
    assert [verdict.claim for verdict in verdicts] == ["A6", "A9"]
    assert len(verdicts[0].measured) == 3
    assert verdicts[0].word in {"undecided", "not supported", "supported"}
    assert run() == verdicts
    failures = [next((tmp_path / "out").rglob("cells")) / "made-up.failed"]
    failures[0].touch()
    assert run() == verdicts
    assert failures[0].exists()
    assert run(retry=True) == verdicts
    assert not failures[0].exists()
    results = tmp_path / "claims.json"
    write_results(results, paper, verdicts, scale, {})
    write_results(results, paper, [reproduction.settle_identity(paper.claim("A8"))], scale, {})
    stored = json.loads(results.read_text())
    assert [entry["claim"] for entry in stored["e2sam"]["claims"]] == ["A6", "A8", "A9"]
    assert stored["e2sam"]["claims"][0]["printed"] == [18.45, 27.86, 12.76]


def test_verdicts_of_another_setting_say_so(tmp_path: Path) -> None:
    paper, path = load_paper("e2sam"), tmp_path / "claims.json"

    def found(name: str) -> Verdict:
        return Verdict(name, "supported", "", (Measured("w", Difference(3.0, 1.0, 5.0, 0.01, 3, 20)),))

    def rows() -> list[str]:
        return [line for line in render(read_results(path)).splitlines() if line.startswith("| A")]

    write_results(path, paper, [found("A1"), found("A4")], Scale(steps=300), {})
    assert not any("[" in row for row in rows())
    write_results(path, paper, [found("A1")], Scale(seeds=5), {})
    assert ["[generated scenes, nano as SAM, 3 seeds, 300 steps]" in row for row in rows()] == [False, True]
    write_results(path, paper, [found("A4")], Scale(seeds=5), {})
    assert not any("[" in row for row in rows())
    write_results(path, paper, [found("A1"), found("A3"), found("A4")], Scale(), {"shift": "/data/shift"})
    assert [row.split("[")[1].split("]")[0] if "[" in row else "" for row in rows()] == [
        "generated scenes beside given data, nano as SAM, 3 seeds, 200 or 50000 steps",
        "generated scenes, nano as SAM, 3 seeds, 200 steps",
        "",
    ]


def test_the_table_is_generated_between_its_marks() -> None:
    results = {
        "e2sam": {
            "title": "T",
            "teacher": "nano",
            "seeds": 3,
            "steps": 300,
            "data": "generated scenes",
            "claims": [
                {
                    "claim": "A1",
                    "says": "more | better",
                    "printed": [17.52],
                    "measured": [{"what": "w", "unit": "points", "value": 3.0, "low": 1.0, "high": 5.0}],
                    "verdict": "supported",
                    "why": "",
                }
            ],
        }
    }
    text = f"before\n{BEGIN}\nold\n{END}\nafter"
    made = put_table(text, results)
    assert current(made) == render(results).strip()
    assert "| A1: more \\| better | +17.52 | +3.0 (+1.0 to +5.0) | supported |" in made
    assert made.startswith("before\n")
    assert made.endswith("\nafter")
    assert put_table(made, results) == made
    with pytest.raises(InputError, match="no place for the table"):
        put_table("nothing", results)


@pytest.mark.skipif(not RESULTS.is_file(), reason="no results are committed yet")
def test_the_readme_shows_the_committed_results() -> None:
    assert current((ROOT / "README.md").read_text()) == render(read_results(RESULTS)).strip()


def test_a_wrong_teacher_or_place_of_data_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(reproduction, "work", lambda bench, _: begun.append(bench.folder.name))
    paper, machine = load_paper("e2sam"), MachineSettings(accelerator="cpu")
    claims = [paper.claim("A1"), paper.claim("A2")]
    small = Scale(seeds=1, steps=1, scenes=2, size=32)
    with pytest.raises(WeightsError, match="no file or folder 'nanoo'"):
        reproduce(paper, claims, tmp_path, replace(small, teacher="nanoo"), machine)
    for name in load_studies()[0]:
        with pytest.raises(InputError, match="nowhere does not exist"):
            reproduce(paper, claims, tmp_path, small, machine, data={name: str(tmp_path / "nowhere")})
    assert not begun
    assert not any(tmp_path.iterdir())


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'shift'"):
        check_given({"shfit": "/data"})
    with pytest.raises(SettingsError, match="claim of e2sam"):
        restrict(load_paper("e2sam"), "A99")
    with pytest.raises(InputError, match="holds no results"):
        read_results(tmp_path / "absent.json")
    assert [claim.id for claim in restrict(load_paper("cwsam"), "")] == ["C1", "C2", "C3"]
