"""From end to end on generated scenes: with the built-in teacher, inheriting halves the error in SAM's space."""

import csv
from pathlib import Path
from statistics import mean

import pytest

import sensam
from sensam.data.synthetic import family, write

SEEDS = (0, 1, 2)
BRIEF = {"size": 48, "batch": 4, "rate": 1e-3, "workers": 0, "quiet": True, "validations": 0, "log_every": 4}
STEPS = 80


@pytest.mark.slow
def test_inheriting_halves_the_error_with_every_seed(tmp_path: Path) -> None:
    fog, settings = tmp_path / "fog", {"triples": 2, "noise": 0.0}
    write(family("seafog"), fog, seed=0, counts={"train": 32}, size=(48, 48))
    for seed in SEEDS:
        out = tmp_path / f"student{seed}"
        sensam.inherit(fog, out=out, seed=seed, steps=STEPS, settings=settings, machine={"accelerator": "cpu"}, **BRIEF)
        with (out / "log.csv").open() as file:
            errors = [float(row["mse"]) for row in csv.DictReader(file)]
        assert mean(errors[-3:]) < 0.5 * errors[0], f"seed {seed}: from {errors[0]:.2f} to {errors[-1]:.2f}"
