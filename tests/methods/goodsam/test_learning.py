"""What the blocks are for, on a small world with planted errors: better boundaries, students beyond their teachers."""

from collections.abc import Callable
from dataclasses import replace as changed

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sensam.data.camera import Equirectangular
from sensam.data.lens import PanoramaLens
from sensam.evaluate.latitude import LatitudeScores, lost_thin_classes
from sensam.methods.base import Task
from sensam.methods.goodsam.adaptation import ensemble_loss
from sensam.methods.goodsam.method import GoodSam
from sensam.methods.goodsam.settings import FusionSettings, GoodSamConfig
from sensam.methods.goodsam.sight import Seen, see
from sensam.sam.regions import Regions
from tests.methods.goodsam.conftest import (
    CLASSES,
    POLE,
    Blurred,
    World,
    fuse,
    make_world,
    miou,
    near_boundary,
    simulate_masks,
    to_regions,
)

THIN = np.arange(len(CLASSES)) == POLE


class Wide(nn.Module):
    """One convolution that begins as the blurred and shifted view, and could learn to look straight."""

    def __init__(self, gain: float = 6.0) -> None:
        super().__init__()
        self.look = nn.Conv2d(len(CLASSES), len(CLASSES), 9, padding=4, padding_mode="replicate")
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.bias.zero_()  # type: ignore[union-attr]
            for kind in range(len(CLASSES)):
                self.look.weight[kind, kind, 2:7, 0:5] = gain / 25

    def forward(self, image_BCHW: Tensor) -> Tensor:
        answer: Tensor = self.look(image_BCHW)
        return answer


def scored(net: nn.Module, worlds: list[World]) -> tuple[float, float, LatitudeScores]:
    """mIoU, mIoU near boundaries, and scores by class."""
    scores = LatitudeScores(CLASSES)
    with torch.no_grad():
        found = np.stack([net(world.image_CHW[None]).argmax(1)[0].numpy() for world in worlds])
    truth = np.stack([world.label_HW for world in worlds])
    for ours, theirs in zip(found, truth, strict=True):
        scores.add(ours, theirs)
    near = np.stack([near_boundary(world.label_HW) for world in worlds])
    return miou(found, truth), miou(found[near], truth[near]), scores


@pytest.mark.slow
def test_rectification_mends_boundaries(
    make_task: Callable[..., Task], make_config: Callable[..., GoodSamConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds, unseen = [make_world(seed) for seed in range(6)], [make_world(seed) for seed in range(50, 58)]
    config = make_config(distil={"features": 0}, assistant="given:elsewhere")
    method = GoodSam(make_task(), config, assistant=Wide())
    instances = {}
    batches: list[Seen] = []
    for number, world in enumerate(worlds):
        valid = torch.ones(1, *world.label_HW.shape, dtype=torch.bool)
        seen = see(world.image_CHW[None], valid, config.windows, PanoramaLens(world.label_HW.shape))
        plain = changed(seen, image_BCHW=world.image_CHW[None])  # the masks are simulated in this frame
        batches.append(plain)
        instances[seen.frames[0].key] = (world, number)

    def simulated(_: Tensor, __: Tensor, _plan: object, key: str) -> list[Regions]:
        world, number = instances[key]
        regions = simulate_masks(world.instance_HW, number, drop=0.15)
        masks = torch.from_numpy(regions.masks())[None]
        windows = batches[0].plan.cut(masks)[0].numpy()
        return [to_regions(window[window.any((1, 2))]) for window in windows]

    monkeypatch.setattr(method._knowledge, "masks", simulated)
    before = scored(method.source, unseen)
    stage = method.stages[0]
    assert stage.name == "rectify"
    optimiser = torch.optim.Adam(method.adapted.parameters(), lr=0.01)
    for _ in range(4):
        for batch in batches:
            optimiser.zero_grad()
            method._rectification.losses(batch)["loss"].backward()
            optimiser.step()
    after = scored(method.adapted, unseen)
    assert after[1] - before[1] >= 1, "near boundaries"
    assert after[0] - before[0] >= -0.5
    assert not lost_thin_classes(before[2].by_class(), after[2].by_class(), ("pole",))


class Student(nn.Sequential):
    """Small, and able to look straight."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(len(CLASSES), 12, 7, padding=3), nn.ReLU(), nn.Conv2d(12, len(CLASSES), 3, padding=1)
        )


def taught(targets: list[NDArray[np.float32]], worlds: list[World], seed: int, steps: int = 100) -> nn.Module:
    torch.manual_seed(seed)
    student = Student()
    optimiser = torch.optim.Adam(student.parameters(), lr=0.01)
    images, wanted = torch.stack([world.image_CHW for world in worlds]), torch.from_numpy(np.stack(targets))
    for step in range(steps):
        rows = torch.randperm(len(worlds), generator=torch.Generator().manual_seed(step))[:4]
        weight = (wanted[rows].amax(1) >= 0.5).float()
        loss = ensemble_loss(student(images[rows]), wanted[rows], weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return student


@pytest.mark.slow
def test_a_student_of_the_ensemble_is_better_than_one_of_the_assistant() -> None:
    worlds, unseen = [make_world(seed) for seed in range(12)], [make_world(seed) for seed in range(50, 60)]
    with torch.no_grad():
        answers = [Blurred()(world.image_CHW[None]).softmax(1)[0].numpy() for world in worlds]
    masks = [simulate_masks(world.instance_HW, seed, drop=0.15, split=0.25) for seed, world in enumerate(worlds)]
    fused = [fuse(p, m, THIN, FusionSettings(), np.ones((48, 1)))[0] for p, m in zip(answers, masks, strict=True)]
    truth = [np.eye(len(CLASSES), dtype=np.float32)[world.label_HW].transpose(2, 0, 1) for world in worlds]
    scores = {
        name: np.mean([scored(taught(targets, worlds, seed), unseen)[0] for seed in (0, 1)])
        for name, targets in {"assistant": answers, "ensemble": fused, "truth": truth}.items()
    }
    assert scores["ensemble"] - scores["assistant"] >= 1.5
    gap = scores["truth"] - scores["assistant"]
    assert scores["ensemble"] - scores["assistant"] >= 0.5 * gap


def test_a_fisheye_and_a_panorama_of_one_scene_agree() -> None:
    """The ensemble needs windows and areas from a sensor, nothing else: here none, and all pixels equal."""
    world = make_world(3, (64, 128))
    side, reach = 72, np.radians(75)
    down, right = np.mgrid[:side, :side] * (2 / (side - 1)) - 1
    away, turn = np.hypot(down, right) * reach, np.arctan2(down, right)
    rays = np.stack([np.cos(away), -np.sin(away) * np.cos(turn), -np.sin(away) * np.sin(turn)]).astype(np.float32)
    rows, columns = Equirectangular((64, 128), (0, 0, 0)).project(rays)
    place = np.clip(np.round(rows).astype(int), 0, 63), np.round(columns).astype(int) % 128
    seen = np.hypot(down, right) <= 1
    prob_CHW = (6 * world.image_CHW).softmax(0).numpy()
    fish_CHW = prob_CHW[:, *place]
    things = np.where(seen, world.instance_HW[place], -1)
    area_HW = PanoramaLens((64, 128)).area_HW.numpy()
    round_CHW, _ = fuse(prob_CHW, simulate_masks(world.instance_HW, 0), THIN, FusionSettings(), area_HW)
    flat_CHW, _ = fuse(fish_CHW, simulate_masks(things, 0), THIN, FusionSettings(), np.ones((side, 1)))
    both = round_CHW[:, *place].argmax(0) == flat_CHW.argmax(0)
    assert both[seen].mean() >= 0.9
    assert (fish_CHW.argmax(0) != flat_CHW.argmax(0))[seen].mean() > 0.05, "fusion did something"
