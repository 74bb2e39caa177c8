"""What was answered, in pictures: false colour, truth, every entry's answer and where it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensam.data.contact.pictures import STRETCH, Stretch, false_colour
from sensam.data.dataset import Dataset
from sensam.data.layout import Colour
from sensam.data.pairing import Item
from sensam.errors import InputError
from sensam.evaluate.outcome import Outcome
from sensam.evaluate.report.page import cell, cells, legend, paragraph, picture
from sensam.evaluate.statistics import miou_of

LARGEST_ANSWER = 256  # pixels on the longer side of an answer that is kept
KEPT_ANSWERS = 48  # images of a split whose answers are kept, evenly over its sorted keys
STRETCHED_OVER = 12  # images that settle what black and white are
WRONG = (213, 94, 0, 255)
RIGHT = (128, 128, 128, 40)
NOWHERE = (128, 128, 128, 110)
RULE = (
    "The cases are chosen by rule: images are ordered by their mIoU{averaged}, and the highest, the middle and the "
    "lowest are shown. Below each answer stands where it is wrong."
)
AVERAGED = " averaged over all entries (first seed that all finished)"


@dataclass(frozen=True, slots=True)
class Case:
    """One image that is shown, and why."""

    title: str
    key: str


def kept_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The images whose answers are kept: settled by the number of images alone, before any score is known."""
    unique = list(dict.fromkeys(keys))
    places = np.linspace(0, len(unique) - 1, min(KEPT_ANSWERS, len(unique))).round().astype(int)
    return tuple(unique[place] for place in places)


def reduced(plane_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A label plane at a size to look at: every n-th pixel, so that no class is mixed."""
    step = -(-max(plane_HW.shape) // LARGEST_ANSWER)
    return plane_HW[step // 2 :: step, step // 2 :: step]


def choose_cases(outcome: Outcome) -> list[Case]:
    """Best, median and worst image by the mean over entries."""
    seed, share = outcome.first_seed, outcome.full
    scores: dict[str, list[float]] = {}
    for entry in outcome.complete(share):
        found = outcome.evidence.get((entry, seed, share))
        if found is None or found.answers_MHW is None:
            continue
        by_key = dict(zip(found.keys, miou_of(found.confusion_NKK), strict=True))
        for key in found.shown:
            scores.setdefault(key, []).append(float(by_key[key]))
    means = {key: float(np.mean(values)) for key, values in scores.items() if np.isfinite(values).all()}
    order = sorted(means, key=lambda key: (-means[key], key))
    if not order:
        return []
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    titles: dict[str, str] = {}
    for title, key in chosen.items():
        titles[key] = f"{titles[key]} and {title}" if key in titles else title
    average = " on average" if len(outcome.entries) > 1 else ""
    return [Case(f"{title} case: {key}, mIoU {100 * means[key]:.1f}{average}", key) for key, title in titles.items()]


def draw_cases(outcome: Outcome, dataset: Dataset, split: str) -> str:
    """All cases as one block of the page."""
    cases = choose_cases(outcome)
    if not cases:
        return ""
    items = {item.key: item for item in dataset.items(split)}
    stretch = common_stretch(dataset, list(items.values()))
    names = list(
        zip(dataset.classes, ["#{:02x}{:02x}{:02x}".format(*colour) for colour in dataset.colours], strict=True)
    )
    rule = RULE.format(averaged=AVERAGED if len(outcome.entries) > 1 else "")
    blocks = [paragraph(rule), legend([*names, ("wrong", "#{:02x}{:02x}{:02x}".format(*WRONG[:3]))])]
    for case in cases:
        blocks += [
            f"<h3>{case.title[0].upper()}{case.title[1:]}</h3>",
            _case(outcome, dataset, items[case.key], stretch),
        ]
    return "".join(blocks)


def common_stretch(dataset: Dataset, items: Sequence[Item]) -> Stretch:
    """One stretch for all pictures, from a few images evenly over the split."""
    places = np.linspace(0, len(items) - 1, min(STRETCHED_OVER, len(items))).round().astype(int)
    bands = dataset.sensor.display
    pools: list[list[NDArray[np.float32]]] = [[], [], []]
    for place in places:
        raster = dataset.sensor.decode(dataset.read(items[place]))
        for pool, band in zip(pools, bands, strict=True):
            pool.append(
                raster.pixels_CHW[band][raster.valid_CHW[band]][:: max(1, raster.pixels_CHW[band].size // 20_000)]
            )
    planes = [np.concatenate(pool) for pool in pools]
    ends_32 = np.array([np.percentile(plane, STRETCH) if plane.size else (0.0, 1.0) for plane in planes])
    return Stretch(bands, ends_32[:, 0], np.maximum(ends_32[:, 1], ends_32[:, 0] + 1e-12))


def _case(outcome: Outcome, dataset: Dataset, item: Item, stretch: Stretch) -> str:
    raster = dataset.sensor.decode(dataset.read(item))
    shown = (255 * false_colour(raster, stretch)).round().astype(np.uint8)
    label_HW = dataset.read_label(item)
    if label_HW is None:
        raise InputError(f"{item.key} has no mask, so there is no truth to show beside the answers.")
    truth_HW = reduced(label_HW.astype(np.uint8))
    blocks = [
        cell("image", "false colour", picture(shown, f"{item.key} in false colours", photograph=True)),
        cell("truth", "", picture(painted(truth_HW, dataset.colours, dataset.ignore), f"true classes of {item.key}")),
    ]
    for entry in outcome.complete(outcome.full):
        found = outcome.evidence[entry, outcome.first_seed, outcome.full]
        if found.answers_MHW is None or item.key not in found.shown:
            continue
        height, width = truth_HW.shape
        answer_HW = found.answers_MHW[found.shown.index(item.key)][:height, :width]
        score = float(miou_of(found.confusion_NKK[found.keys.index(item.key)]))
        answer = picture(painted(answer_HW, dataset.colours, dataset.ignore), f"answer of {entry}")
        errors = picture(mistakes(truth_HW, answer_HW, dataset.ignore), f"where {entry} is wrong")
        blocks.append(cell(entry, f"{100 * score:.1f}", answer, errors))
    return cells(*blocks)


def painted(label_HW: NDArray[np.uint8], colours: Sequence[Colour], ignore: int) -> NDArray[np.uint8]:
    """Classes in their colours; what is not labelled is half transparent."""
    table = np.zeros((256, 4), np.uint8)
    table[: len(colours)] = [(*colour, 255) for colour in colours]
    table[ignore if ignore < 256 else 255] = NOWHERE
    return table[label_HW]


def mistakes(truth_HW: NDArray[np.uint8], answer_HW: NDArray[np.uint8], ignore: int) -> NDArray[np.uint8]:
    """Where an answer is wrong, of what is labelled."""
    picture_HW4 = np.where((truth_HW == answer_HW)[..., None], np.array(RIGHT, np.uint8), np.array(WRONG, np.uint8))
    return np.where((truth_HW == ignore)[..., None], np.array(NOWHERE, np.uint8), picture_HW4)
