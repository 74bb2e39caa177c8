"""What benchmarks/e2sam.py measures beyond class maps: clicks without labels, missing bands, how inheriting went."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label

from sensam.data.dataset import Dataset
from sensam.data.loader import Loader
from sensam.data.stream import EvaluationStream
from sensam.evaluate.masks import innermost, iou
from sensam.infer.inherited import inherited_predictor, three_band_predictor
from sensam.infer.promptable import Predictor
from sensam.methods.inherited import Triple
from sensam.run import Model, fit_dataset
from sensam.sam.model import Sam
from sensam.train.confusion import Confusion, count

SMALLEST = 0.01  # of the image: a region that is worth a click
MISSING = (0, 1, 2, 4, 8)  # bands
WAYS = ("rgb", "average", "neck")  # what SAM's mask decoder reads of a student; the last where its neck was taught


def regions(label_HW: NDArray[np.integer], ignore: int) -> Iterator[NDArray[np.bool_]]:
    """Connected pieces of every class."""
    for number in np.unique(label_HW[label_HW != ignore]):
        pieces, found = label(label_HW == number)
        for piece in range(1, found + 1):
            mask = pieces == piece
            if mask.mean() >= SMALLEST:
                yield mask


def one_click(predictor: Predictor, dataset: Dataset, split: str, most: int | None = None) -> float:
    """Mean IoU over all regions of a split, one click in the middle of each, of three masks SAM's own favourite."""
    found: list[float] = []
    for item in dataset.items(split)[:most]:
        masks = list(regions(dataset.read_label(item), dataset.ignore))
        if not masks:
            continue
        predictor.set_image(dataset.read(item))
        clicks = np.array([innermost(mask) for mask in masks], np.float32)[:, None]
        answer = predictor.predict(points=clicks).best().masks_NMHW[:, 0].cpu().numpy()
        found += iou(answer, np.stack(masks)).tolist()
    return mean(found)


def best_triple(sam: Sam, dataset: Dataset, split: str, candidates: int, most: int) -> tuple[Triple, float, int]:
    """SAM's best fixed triple, its score, and of how many; the RGB-like one and others drawn by a fixed seed.

    It is chosen where nothing is tested.
    """
    bands = len(dataset.sensor.bands)
    every = list(permutations(range(bands), 3))
    drawn = np.random.default_rng(0).permutation(len(every))[:candidates]
    triples = dict.fromkeys([dataset.sensor.display, *(every[place] for place in drawn)])
    scores = {t: one_click(three_band_predictor(sam, dataset.sensor, t), dataset, split, most) for t in triples}
    winner = max(scores, key=scores.__getitem__)
    return winner, scores[winner], len(scores)


def clicks_without_labels(
    sam: Sam,
    students: Mapping[str, Sequence[Model]],
    dataset: Dataset,
    *,
    candidates: int,
    most: int,
    say: Callable[[str], None],
) -> None:
    """One-click mIoU on the test split: SAM on three bands against students that never saw a label, by entry."""
    dataset = fit_dataset(dataset, next(iter(students.values()))[0].sensor)
    triple, chosen_by, tried = best_triple(sam, dataset, "val", candidates, most)
    names = " ".join(dataset.sensor.band_names[band] for band in triple)
    say(f"\none click, no labels: {dataset.name}, mean IoU over the regions of the test split")
    rgb = one_click(three_band_predictor(sam, dataset.sensor, dataset.sensor.display), dataset, "test")
    best = one_click(three_band_predictor(sam, dataset.sensor, triple), dataset, "test")
    say(f"  SAM on its RGB-like triple                {100 * rgb:.1f}")
    say(f"  SAM on its best triple                    {100 * best:.1f}")
    say(f"    that is {names}, the best of {tried} on validation with {100 * chosen_by:.1f}")
    for entry, models in students.items():
        for way in WAYS:
            if way == "neck" and not getattr(models[0].method.config, "neck_loss", 0):
                continue
            scores = [one_click(inherited_predictor(model.method, way), dataset, "test") for model in models]
            say(f"  student of {entry} by {way}: {spread(scores)} over {len(scores)} seeds")


@torch.no_grad()
def miou_without(model: Model, dataset: Dataset, missing: int, batch: int = 16) -> float:
    """mIoU on the test split when so many bands of every image are missing, the same ones for every model."""
    dataset, total = fit_dataset(dataset, model.sensor), None
    stream = EvaluationStream(dataset, "test", size=model.segmenter.size)
    for number, each in enumerate(Loader(stream, batch_size=batch)):
        image_BCHW = each.image_BCHW.clone()
        for row in range(len(each)):
            luck = np.random.default_rng((number, row)).permutation(image_BCHW.shape[1])
            image_BCHW[row, luck[:missing].tolist()] = 0
        found_BHW = model.segmenter.logits(image_BCHW).argmax(1)
        matrix_KK = count(each.label_BHW, found_BHW, len(model.classes), dataset.ignore)
        total = matrix_KK if total is None else total + matrix_KK
    return float(Confusion(total.numpy(), model.classes).miou)


def missing_bands(by_entry: dict[str, list[Model]], dataset: Dataset, say: Callable[[str], None]) -> None:
    """The fall-off: students trained with and without bands that go missing."""
    bands = len(dataset.sensor.bands)
    counts = [missing for missing in MISSING if missing < bands]
    say(f"\nmissing bands: {dataset.name}, mIoU on the test split by how many of {bands} bands are missing")
    say(f"  {'':<28}" + "".join(f"{missing:>14}" for missing in counts))
    for entry, models in by_entry.items():
        scores = [spread([miou_without(model, dataset, missing) for model in models]) for missing in counts]
        say(f"  {entry:<28}" + "".join(f"{each:>14}" for each in scores))


def inheritance_curve(logs: Sequence[Path], say: Callable[[str], None], points: int = 8) -> None:
    """Mean squared error in SAM's space while students inherit, and how far it fell."""
    curves = []
    for path in logs:
        with path.open(newline="") as file:
            curves.append([(int(row["step"]), float(row["mse"])) for row in csv.DictReader(file)])
    shared = min(len(curve) for curve in curves)
    places = sorted({round(place) for place in np.linspace(0, shared - 1, min(points, shared))})
    say("\ninheritance: mean squared error in SAM's space (training, 2.0 is unrelated)")
    for place in places:
        say(f"  step {curves[0][place][0]:>6}   {spread([curve[place][1] for curve in curves], 1, 3)}")
    fall = [1 - curve[-1][1] / curve[0][1] for curve in curves]
    say(f"  fell by {spread(fall, 100, 0)} % from the first row of the log to the last")


def spread(values: Sequence[float], factor: float = 100, digits: int = 1) -> str:
    """Mean and sample deviation over seeds."""
    deviation = f" ± {factor * float(np.std(values, ddof=1)):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * mean(values):.{digits}f}{deviation}"
