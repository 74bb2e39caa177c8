"""The whole road on generated sea fog: inherit without labels, learn from a few, compare with scratch, map a scene."""

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from sensam.data.contact.pictures import false_colour, overlay
from sensam.data.dataset import Dataset, open_dataset
from sensam.data.synthetic import family, write
from sensam.errors import InputError
from sensam.evaluate.figures import Panel, draw_panels, save_figure
from sensam.evaluate.metrics import Evaluation, evaluate
from sensam.evaluate.report.panels import common_stretch
from sensam.maps import predict
from sensam.run.inheriting import inherit
from sensam.run.model import Model
from sensam.run.training import train

FAMILY = "seafog"
PICTURE, DATA, SCENE, RUNS, MAPS = "demo.png", "data", "scene", "runs", "maps"
OURS, SCRATCH = "e2sam", "scratch"
CRS, CORNER, PIXEL = "EPSG:32651", (500_000.0, 4_300_000.0), 1000.0  # a place in the Yellow Sea; maps keep it
LOSS = "ce+dice"  # rare classes count from the first step; few steps of cross entropy alone do not get to them
GENTLE = 0.1  # of the rate, for an encoder that has inherited
TRIES = 20  # scenes that are looked at for one with every class
LEARNS: Mapping[str, Any] = {"loss": LOSS, "detail": True}  # either way: so few steps do not sharpen what patches blur
NAMES = {SCRATCH: "from scratch", OURS: "inherited"}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of everything. Forty labels, because of six both ways learn the same: by heart."""

    unlabelled: int = 160
    labelled: int = 40
    val: int = 6
    test: int = 24
    size: int = 128  # pixels on a side of an image
    window: int = 64  # and of what is learnt from at a time
    scene: int = 512  # and of the scene that is mapped
    inherit_steps: int = 400
    learn_steps: int = 150
    batch: int = 8
    rate: float = 1e-3  # a student of nano's size learns faster than SAM's
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Walk:
    """What came out."""

    scores: Mapping[str, Evaluation]  # on the test split, by method
    files: Mapping[str, Path]  # the map of the scene, by method
    picture: Path


def walk(out: Path, budget: Budget, *, teacher: str = "nano", say: Say = print) -> Walk:
    """Everything from generated images to a finished map, into a folder that an earlier walk may have filled."""
    _clear(out)
    say(f"1. {FAMILY}: {budget.unlabelled} images without labels, {budget.labelled} with, {budget.test} to test on")
    data, scene = _generate(out, budget)
    say(f"2. inherit from {teacher}, without labels: {budget.inherit_steps} steps")
    student = out / RUNS / "inherited"
    shared: dict[str, Any] = {"batch": budget.batch, "rate": budget.rate, "size": budget.window, "workers": 0}
    common: dict[str, Any] = {"teacher": teacher, "seed": budget.seed, "track": ()}
    inheriting: dict[str, Any] = {
        "split": "unlabelled",
        "steps": budget.inherit_steps,
        "optimiser": "muon" if hasattr(torch.optim, "Muon") else "adamw",  # torch has it from 2.9 on
        "validations": 2,
    }
    inherit(data, out=student, settings={"triples": 2}, **common, **shared, **inheriting)
    say(f"3. learn classes from {budget.labelled} labelled images: {budget.learn_steps} steps for each")
    learning = {**common, **shared, "steps": budget.learn_steps, "validations": 4}
    models = {
        SCRATCH: train(data, method=SCRATCH, out=out / RUNS / SCRATCH, settings=LEARNS, **learning),
        OURS: train(
            data,
            method=OURS,
            out=out / RUNS / OURS,
            begin_from=student,
            settings={**LEARNS, "encoder_rate": GENTLE},
            **learning,
        ),
    }
    say(f"4. score on the test split, and map a scene of {budget.scene} x {budget.scene} pixels")
    scores = {name: evaluate(model, data) for name, model in models.items()}
    files = {name: _map(model, scene, out / MAPS / f"{name}.tif") for name, model in models.items()}
    save_figure(_draw(scene, files, scores), out / PICTURE)
    return Walk(scores, files, out / PICTURE)


def _clear(out: Path) -> None:
    """Take away what an earlier demonstration left, and nothing else."""
    if out.resolve() == Path.cwd():  # where other commands keep their own runs/
        raise InputError(f"{out} is where you stand, and a demonstration clears its folder. Name another: demo/")
    marker = out / ".demonstration"
    taken = [name for name in (DATA, SCENE, RUNS, MAPS) if (out / name).exists()]
    if taken and not marker.exists():
        raise InputError(f"{out / taken[0]} exists and is not from a demonstration. Choose another folder.")
    for name in taken:
        shutil.rmtree(out / name)
    marker.touch()


def _generate(out: Path, budget: Budget) -> tuple[Path, Path]:
    """The data set, and the scene as a data set of one image: with its truth, and never learnt from."""
    counts = {
        "train": budget.labelled,
        "unlabelled": budget.unlabelled,
        "val": budget.val,
        "test": budget.test,
    }
    small = (budget.size, budget.size)
    data = write(family(FAMILY), out / DATA, seed=budget.seed, counts=counts, size=small, unlabelled=["unlabelled"])
    large = (budget.scene, budget.scene)
    scene = write(family(FAMILY), out / SCENE, seed=_seed_of_scene(budget.seed, large), counts={"test": 1}, size=large)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # which is what is being mended
        for file in scene.parent.rglob("*.tif"):
            with rasterio.open(file, "r+") as image:
                image.crs, image.transform = CRS, rasterio.Affine(PIXEL, 0, CORNER[0], 0, -PIXEL, CORNER[1])
    return data, scene


def _seed_of_scene(taken: int, size: tuple[int, int]) -> int:
    """The first seed but that of the data whose scene shows every class, or the next one where scenes are small."""
    drawn = family(FAMILY)
    for seed in range(taken + 1, taken + 1 + TRIES):
        shown = set(np.unique(drawn.make(seed, 0, size).label_HW).tolist())
        if shown >= set(range(len(drawn.classes))):
            return seed
    return taken + 1


def _map(model: Model, scene: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    (image,) = (scene.parent / "images").rglob("*.tif")
    return predict(model, image, target)[-1]


def _draw(scene: Path, files: Mapping[str, Path], scores: Mapping[str, Evaluation]) -> Figure:
    """False colours, the truth, and every map of the scene with its own score."""
    dataset = open_dataset(scene)
    (item,) = dataset.items("test")
    raster, truth_HW = dataset.sensor.decode(dataset.read(item)), dataset.read_label(item)
    assert truth_HW is not None
    image = false_colour(raster, common_stretch(dataset, [item]))
    titles, row = ["false colours", "truth"], [Panel(_bytes(image)), _painted(image, truth_HW, dataset)]
    for name, file in files.items():
        found_HW = _read_map(file)
        agreed = float((found_HW == truth_HW)[truth_HW != dataset.ignore].mean())
        titles.append(f"{NAMES[name]} (test mIoU {scores[name].confusion.miou:.3f})")
        row.append(_painted(image, found_HW, dataset, f"right on {agreed:.0%} of this scene"))
    return draw_panels(titles, [row])


def _painted(image: NDArray[np.float32], label_HW: NDArray[np.integer[Any]], dataset: Dataset, text: str = "") -> Panel:
    """A map laid over the image; what its colours mean, where nothing else is said of it."""
    shown = overlay(image, label_HW, dataset.colours, dataset.ignore)
    if text:
        return Panel(_bytes(shown), caption=text)
    colours = [(red / 255, green / 255, blue / 255) for red, green, blue in dataset.colours]
    return Panel(_bytes(shown), legend=list(zip(dataset.classes, colours, strict=True)))


def _bytes(picture_HW3: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (255 * picture_HW3.clip(0, 1)).round().astype(np.uint8)


def _read_map(file: Path) -> NDArray[np.uint8]:
    with rasterio.open(file) as source:
        band: NDArray[np.uint8] = source.read(1)
    return band
