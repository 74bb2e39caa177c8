"""The paper's ordering where it can be shown in a minute: things that only heat shows, one seed, SAM nano."""

from pathlib import Path
from typing import Any

import pytest

import sensam
from sensam.data.dataset import open_dataset
from sensam.data.synthetic import family, write
from sensam.evaluate.clicking import score_clicks
from sensam.methods.base import Task
from sensam.run import Model, build_method
from sensam.run.model import as_model, describe_model
from sensam.sam.weights import load_sam

SIZE, SETTINGS = 64, {"regions": "connected", "smallest": 0.005, "clicks": 2}


def learnt(data: Path, out: Path, rate: float, **settings: Any) -> Model:
    return sensam.train(
        data / "dataset.yaml",
        method="simmat",
        out=out,
        settings={**SETTINGS, **settings},
        steps=60,
        batch=4,
        rate=rate,
        size=SIZE,
        workers=0,
        validations=0,
        machine={"accelerator": "cpu"},
        quiet=True,
    )


@pytest.mark.slow
def test_mat_and_lora_beat_zero_shot_and_from_scratch(tmp_path: Path) -> None:
    data = tmp_path / "heat"
    write(family("modality:thermal"), data, seed=0, counts={"train": 48, "test": 16}, size=(SIZE, SIZE))
    dataset = open_dataset(data / "dataset.yaml")
    task = Task(dataset.sensor, dataset.classes, load_sam("nano"), SIZE)
    untaught = build_method("simmat", task, {**SETTINGS, "projector": "zeroshot", "amount": 1})
    zeroshot = as_model(untaught.eval(), describe_model(untaught, "simmat", colours=dataset.colours, stages=()))
    models = {
        "zero-shot": zeroshot,
        "from scratch": learnt(data, tmp_path / "scratch", 3e-4, strategy="full", start="random"),
        "MAT + LoRA": learnt(data, tmp_path / "mat", 1e-3, amount=16),
    }
    scores = {name: score_clicks(model, dataset, split="test")["click_iou"] for name, model in models.items()}
    assert scores["MAT + LoRA"] > max(scores["zero-shot"], scores["from scratch"]) + 0.05, scores
