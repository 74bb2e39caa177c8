"""Assistants from anywhere: their classes, their bands, their names."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sensam.errors import SettingsError
from sensam.methods.base import Task
from sensam.methods.goodsam.assistant import NEVER, find_assistant, match_classes
from sensam.methods.goodsam.settings import GoodSamConfig
from sensam.nn.segformer import build_segformer

CONFIG = GoodSamConfig()


class Named(nn.Module):
    """Logits that are its first bands, of classes with names."""

    def __init__(self, names: tuple[str, ...], bands: int) -> None:
        super().__init__()
        self.class_names, self.bands = names, bands

    def forward(self, image_BCHW: Tensor) -> Tensor:
        return image_BCHW[:, : len(self.class_names)]


def for_import(task: Task) -> nn.Module:
    return Named(task.classes, task.bands)


def test_classes_meet_by_name() -> None:
    assert match_classes(("road", "sky"), ("road", "sky"), CONFIG) is None
    assert match_classes(("sky", "Road"), ("road", "sky"), CONFIG) == [[1], [0]]
    assert match_classes(("traffic-light", "bus", "car"), ("traffic light",), CONFIG) == [[0]]
    renamed = GoodSamConfig(renamed={"bus": "vehicle", "car": "vehicle"})
    assert match_classes(("road", "car", "bus"), ("road", "vehicle"), renamed) == [[0], [1, 2]]


def test_what_an_assistant_does_not_know_is_said() -> None:
    with pytest.raises(SettingsError, match=r"knows no curb \(it has road, car\)"):
        match_classes(("road", "car"), ("road", "curb"), CONFIG)
    allowed = GoodSamConfig(unanswered=("curb",))
    assert match_classes(("road", "car"), ("road", "curb"), allowed) == [[0], []]
    with pytest.raises(SettingsError, match="renamed speaks of 'cat'"):
        match_classes(("road",), ("road",), GoodSamConfig(renamed={"cat": "road"}))


def test_probabilities_of_classes_that_are_one_here_are_added(make_task: Callable[..., Task]) -> None:
    task = make_task(bands=3, classes=("vehicle", "road", "curb"))
    config = GoodSamConfig(renamed={"car": "vehicle", "bus": "vehicle"}, unanswered=("curb",))
    assistant = find_assistant(task, config, Named(("road", "car", "bus"), 3))
    image = torch.randn(2, 3, 4, 4)
    ours, theirs = assistant(image).softmax(1), image.softmax(1)
    assert torch.allclose(ours[:, 0], theirs[:, 1] + theirs[:, 2], atol=1e-5)
    assert torch.allclose(ours[:, 1], theirs[:, 0], atol=1e-5)
    assert (assistant(image)[:, 2] == NEVER).all()


def test_three_bands_are_the_photograph_and_no_other_number_is_guessed(make_task: Callable[..., Task]) -> None:
    task = make_task(bands=5, classes=("a", "b"))
    assistant = find_assistant(task, CONFIG, Named(("a", "b"), 3))
    assert assistant.bands == list(task.sensor.display)
    assert find_assistant(task, CONFIG, Named(("a", "b"), 5)).bands is None
    with pytest.raises(SettingsError, match="takes 4 bands, sensor made-5 has 5"):
        find_assistant(task, CONFIG, Named(("a", "b"), 4))


@pytest.mark.slow
def test_by_folder_and_by_import(make_task: Callable[..., Task], tmp_path: Path) -> None:
    task = make_task(bands=3, classes=("road", "sky"))
    theirs = build_segformer("b0", bands=3, classes=2, head=8)
    theirs.net.config.id2label = {0: "sky", 1: "road"}
    theirs.net.save_pretrained(tmp_path)
    assistant = find_assistant(task, GoodSamConfig(assistant=str(tmp_path))).eval()
    image = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        logits, levels = assistant.analyse(image)
        assert torch.allclose(logits, theirs.eval()(image).flip(1), atol=1e-5)
    assert len(levels) == 4
    assert assistant.widths == (32, 64, 160, 256)
    imported = find_assistant(task, GoodSamConfig(assistant=f"{__name__}:for_import"))
    assert isinstance(imported.net, nn.Module)
    assert imported.widths is None
    with pytest.raises(SettingsError, match="cannot be imported"):
        find_assistant(task, GoodSamConfig(assistant="nowhere:nothing"))
    with pytest.raises(SettingsError, match="does not name its"):
        find_assistant(task, GoodSamConfig(unanswered=("sky",)), nn.Conv2d(3, 2, 1))
