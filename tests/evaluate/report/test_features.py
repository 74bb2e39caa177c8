"""Features by domain: the untrained start stands beside who inherited, however many entries there are."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.features import draw_features
from tests.evaluate.made_up import made_up_outcome

SKILLS = {"sam3": 0.6, "resam": 0.7, "repe": 0.65, "unet": 0.7, "scratch": 0.5, "e2sam": 0.8}


def with_features(images: int) -> Outcome:
    """The features of E2SAM mix; those of all others lie apart by domain."""
    outcome = made_up_outcome(SKILLS, seeds=(0, 1), shares=(1.0,), images=images)
    random = np.random.default_rng(0)
    evidence = {}
    for key, cell in outcome.evidence.items():
        side = np.array([[0.0 if key[0] == "e2sam" or domain == "noon" else 20.0] for domain in cell.domains])
        evidence[key] = replace(cell, features_NE=(random.normal(0, 1, (images, 4)) + side).astype(np.float32))
    return replace(outcome, evidence=evidence)


@pytest.mark.slow
def test_scratch_and_who_inherited_are_drawn_before_all_others(tmp_path: Path) -> None:
    block = draw_features(with_features(12), tmp_path)
    drawn = [path.stem for path in (tmp_path / "plots").glob("features-*.svg")]
    assert sorted(drawn) == ["features-e2sam", "features-resam", "features-sam3", "features-scratch"]
    mixed = [float(found) for found in re.findall(r"Mixing ([\d.]+):", block)]
    assert mixed[0] == 0  # scratch
    assert mixed[1] > 0.5  # E2SAM
    svg = (tmp_path / "plots" / "features-e2sam.svg").read_text()
    assert ">noon<" in svg
    assert ">morning<" in svg


def test_few_images_have_no_picture(tmp_path: Path) -> None:
    assert draw_features(with_features(7), tmp_path) == ""
    assert draw_features(made_up_outcome(), tmp_path) == ""
