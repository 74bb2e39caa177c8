"""Draws GoodSAM at work: panorama, assistant, SAM's masks, fused pseudo-label, student, truth; and a real street.

python benchmarks/goodsam.py --seeds 1 --students full && python benchmarks/goodsam_pictures.py
python benchmarks/goodsam_pictures.py --quick    from the runs of goodsam.py --quick

The real panorama has no labels: assistant and student see its three colours only, the assistant has learnt from
generated pictures, the student from this one panorama. What is shown is no score.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from goodsam import FRESH, NO_RECTIFY, Bench, Budget, budget_of, parse
from measuring import physical_cores
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sensam.data.dataset import open_dataset
from sensam.data.loader import Loader
from sensam.data.stream import EvaluationStream
from sensam.evaluate.figures import Panel, draw_panels, many_colours, save_figure
from sensam.methods.goodsam.method import GoodSam
from sensam.run import Model, load, train
from sensam.types import Batch

Picture = NDArray[np.uint8]
REAL = Path(os.environ.get("SENSAM_REAL_DATA", "../shared/data")) / "pano_pass_street" / "unlabelled"
REDUCED = 4  # times fewer pixels on a side of the real panorama, for two cores


def paint(classes_HW: NDArray[Any], colours: tuple[tuple[int, int, int], ...]) -> Picture:
    """Class numbers as colours; black where there is none."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    return np.asarray(table[classes_HW])


def colour_of(image_CHW: Tensor, model: Model) -> Picture:
    """A normalised image as the photograph it was."""
    mean, std = model.sensor.statistics
    shown = list(model.sensor.display)
    pixels = image_CHW[shown].numpy() * std[shown, None, None] + mean[shown, None, None]
    return np.asarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


@torch.no_grad()
def look(
    image_CHW: Tensor, model: Model, teachers: GoodSam, colours: tuple[tuple[int, int, int], ...]
) -> list[Picture]:
    """Panorama, assistant's windows merged, SAM's masks, ensemble, and the student."""
    seen = teachers._see(_batch(image_CHW))
    frame, knowledge = seen.frames[0], teachers._knowledge
    windows = knowledge.masks(seen.image_BCHW[0], seen.valid_BHW[0], seen.plan, frame.key)
    answers = teachers.assistant(seen.plan.cut(seen.image_BCHW)[0]).softmax(1)
    merged = frame.restore(seen.plan.merge(answers[None])[0])
    fused = teachers.ensemble(image_CHW).prob_KHW
    student = model.method(image_CHW[None])[0]
    masks = np.zeros((*seen.plan.size, 3), np.uint8)
    for (top, left), regions in zip(seen.plan.corners, windows, strict=True):
        columns = seen.plan.columns(left).numpy()
        for number in np.argsort(-regions.areas_N):
            mask = regions.mask(int(number))
            shade = (255 * np.array(many_colours(len(regions))[number])).astype(np.uint8)
            rows, inside = np.nonzero(mask)
            masks[top + rows, columns[inside]] = shade
    restored = frame.restore(torch.from_numpy(masks).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    maps = [paint(part.argmax(0).numpy(), colours) for part in (merged, fused, student)]
    return [colour_of(image_CHW, model), maps[0], restored, maps[1], maps[2]]


def _batch(image_CHW: Tensor) -> Batch:
    return Batch(image_CHW[None], torch.ones_like(image_CHW[None, 0], dtype=torch.bool), None, ("",))


TITLES = ["panorama", "assistant, windows", "SAM's masks", "fused pseudo-label", "student, one pass"]


def _named(pictures: Sequence[Picture], names: Sequence[str]) -> list[Panel]:
    return [Panel(picture, caption=name) for picture, name in zip(pictures, names, strict=True)]


def draw_generated(bench: Bench, out: Path, count: int = 3) -> None:
    """Test panoramas of the first seed."""
    model = load(bench.folder / "full")
    colours = model.segmenter.colours
    streets = []
    for batch, _ in zip(bench.tests(model), range(count), strict=False):
        assert batch.label_BHW is not None
        pictures = look(batch.image_BCHW[0], model, bench.teachers(), colours)
        streets.append(_named((*pictures, paint(batch.label_BHW[0].numpy(), colours)), [*TITLES, "truth"]))
    # Panoramas are wide: what is made of one stands below it, not beside.
    titles = [f"street {number}" for number in range(1, len(streets) + 1)]
    save_figure(draw_panels(titles, list(zip(*streets, strict=True))), out / "goodsam-generated.png")


def draw_real(bench: Bench, budget: Budget, out: Path) -> None:
    """The shared street: an assistant of three colours, and a student that saw nothing but this."""
    settings = yaml.safe_load(bench.source.read_text()) | {"bands": ["red", "green", "blue"]}
    settings["root"] = str(bench.source.parent.resolve())
    source = bench.folder / "source-rgb.yaml"
    source.write_text(yaml.safe_dump(settings))
    target = bench.folder / "real" / "dataset.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in REAL.glob("*.png"):
        photo = Image.open(path).convert("RGB")
        photo.reduce(REDUCED).save(target.parent / path.name)
    classes = [{"name": entry["name"], "colour": entry["colour"]} for entry in settings["classes"]]
    sensor = {"preset": "rgb", "geometry": "equirectangular"}
    target.write_text(
        yaml.safe_dump({"sensor": sensor, "images": "*.png", "classes": classes, "splits": {"train": "*"}})
    )
    common: dict[str, Any] = {**bench.settings, "assistant_size": budget.assistant}
    plan = budget.stage(budget.assistant_steps, FRESH, batch=2 * budget.batch)
    path, student = bench.folder / "assistant-rgb", bench.folder / "real-student"
    if not (path / "model").is_dir():
        stages = {"assistant": plan}
        train(source, method="goodsam", out=path, settings=common, stages=stages, stop_after="assistant", quiet=True)
    common |= {"assistant": str(path), "rectify": NO_RECTIFY}
    if not (student / "model").is_dir():
        steps = {"distil": budget.stage(budget.student_steps, FRESH, batch=1)}
        train(target, method="goodsam", out=student, settings=common, stages=steps, quiet=True)
    model = load(student)
    teachers = bench.teachers_for(model, common)
    (batch,) = Loader(EvaluationStream(open_dataset(target), "train", labels=False), batch_size=1)
    pictures = look(batch.image_BCHW[0], model, teachers, model.segmenter.colours)
    figure = draw_panels(["a real street"], [[panel] for panel in _named(pictures, TITLES)])
    save_figure(figure, out / "goodsam-real.png")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(physical_cores())
    budget = budget_of(arguments)
    bench = Bench(arguments.folder / ("quick" if arguments.quick else "full"), 0, budget)
    out = arguments.output or arguments.folder
    out.mkdir(parents=True, exist_ok=True)
    draw_generated(bench, out)
    if REAL.is_dir():
        draw_real(bench, budget, out)
    print(f"figures in {out}")


if __name__ == "__main__":
    main()
