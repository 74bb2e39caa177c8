"""From end to end on generated scenes: with the built-in teacher, inheriting halves the error in SAM's space."""

import csv
from pathlib import Path
from statistics import mean

import pytest
import torch

import sensam
from sensam.data.dataset import open_dataset
from sensam.data.loader import Loader
from sensam.data.stream import EvaluationStream
from sensam.data.synthetic import family, write
from sensam.methods.base import Task
from sensam.methods.e2sam import E2Sam, E2SamConfig
from sensam.run.assembly import with_statistics
from sensam.sam.weights import load_sam
from sensam.sensors import Sensor
from tests.methods.e2sam_losses import drawn, planes_of, seen_by

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


@pytest.mark.slow
def test_what_the_teacher_is_shown_has_mean_zero_and_unit_spread_in_every_channel(tmp_path: Path) -> None:
    fog, seen = tmp_path / "fog", []
    write(family("seafog"), fog, seed=0, counts={"train": 12}, size=(48, 48))
    given = open_dataset(fog)
    bands = [{**band.model_dump(), "mean": None, "std": None} for band in given.sensor.bands]
    unmeasured = Sensor.from_dict({**given.sensor.model_dump(), "bands": bands})
    dataset = with_statistics(given.with_sensor(unmeasured), "train")
    method = E2Sam(Task(dataset.sensor, dataset.classes, load_sam("nano"), size=48), E2SamConfig(noise=0.0))
    for batch in Loader(EvaluationStream(dataset, "train", labels=False), batch_size=4):
        teacher, student = seen_by(method, batch)
        assert torch.equal(teacher, planes_of(student, drawn(method, batch)))
        seen.append(student)
    channels_CN = torch.cat(seen).transpose(0, 1).flatten(1)
    assert len(channels_CN) == len(dataset.sensor.bands)
    assert channels_CN.mean(1).abs().max() < 0.05
    assert (channels_CN.std(1) - 1).abs().max() < 0.05
