"""What a trained model answers on a split: counts for each image, some answers to look at, features by image."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sensam.data.clicks import RegionRule
from sensam.data.dataset import Dataset
from sensam.errors import SettingsError
from sensam.evaluate.answers import answers, shown
from sensam.evaluate.clicking import evaluate_clicks
from sensam.evaluate.records import Evidence, SplitScores
from sensam.evaluate.report.panels import LARGEST_ANSWER, kept_keys, reduced
from sensam.evaluate.statistics import score_of
from sensam.run import Model, fit_dataset
from sensam.sam.encoder import ImageEncoder
from sensam.train.confusion import Confusion, check_two_classes, count


def measure(model: Model, dataset: Dataset, split: str, *, batch: int, device: str | torch.device = "cpu") -> Evidence:
    """Every pixel of a split once, as each entry was trained to see it."""
    model.to(device).method.eval()
    dataset = fit_dataset(dataset, model.sensor)
    items = dataset.labelled(split)
    place = {item.key: number for number, item in enumerate(items)}
    shown = kept_keys(tuple(place))
    classes = len(model.classes)
    matrices_NKK = np.zeros((len(items), classes, classes), np.int64)
    maps = {item.key: np.zeros(dataset.size(item), np.uint8) for item in items if item.key in shown}
    features: dict[str, list[NDArray[np.float32]]] = {key: [] for key in place}
    with listening(model.method) as heard:
        for answer in answers(model, dataset, split, batch=batch, device=device):
            counts_KK = count(answer.label_HW, answer.found_HW, classes, dataset.ignore)
            matrices_NKK[place[answer.key]] += counts_KK.cpu().numpy()
            if answer.key in maps:
                top, left, rows, columns = answer.part
                found_HW = answer.found_HW.cpu().numpy().astype(np.uint8)
                maps[answer.key][top : top + rows, left : left + columns] = found_HW
            if heard:
                features[answer.key].append(heard.popleft())
    domains = tuple(item.domain or "" for item in items)
    means = [np.mean(parts, axis=0) for parts in features.values() if parts]
    features_NE = np.stack(means).astype(np.float32) if len(means) == len(items) else None
    return Evidence(tuple(place), domains, matrices_NKK, shown, _stacked(maps), features_NE)


def _stacked(answers: dict[str, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Answers of any size as one array, reduced to look at."""
    small = [reduced(answer_HW) for answer_HW in answers.values()]
    height, width = (max(sides) for sides in zip(*(answer.shape for answer in small), strict=True))
    assert max(height, width) <= LARGEST_ANSWER
    stacked = np.zeros((len(small), height, width), np.uint8)
    for place, answer_HW in enumerate(small):
        stacked[place, : answer_HW.shape[0], : answer_HW.shape[1]] = answer_HW
    return stacked


@contextmanager
def listening(network: nn.Module) -> Iterator[deque[NDArray[np.float32]]]:
    """The mean embedding of every image that passes through the network's SAM encoder, where it has one."""
    heard: deque[NDArray[np.float32]] = deque()

    def keep(_: nn.Module, __: tuple[Tensor, ...], embedding_BEhw: Tensor) -> None:
        heard.extend(embedding_BEhw.mean((2, 3)).float().cpu().numpy())

    encoder = next((module for module in network.modules() if isinstance(module, ImageEncoder)), None)
    handle = encoder.register_forward_hook(keep) if encoder is not None else None
    try:
        yield heard
    finally:
        if handle is not None:
            handle.remove()


def measure_clicks(model: Model, dataset: Dataset, split: str, *, device: str | torch.device = "cpu") -> Evidence:
    """One fixed click in every region of a split but for the first class; regions mean the same for every entry."""
    sam = model.to(device).method.eval().promptable()
    if sam is None:
        raise SettingsError(f"{model.segmenter.name} answers class maps, not clicks: leave it out of this comparison.")
    dataset = fit_dataset(dataset, model.sensor)
    stream, originals = shown(model, dataset, split)
    found = evaluate_clicks(sam, stream, RegionRule(background=0, ignore=dataset.ignore), originals=originals)
    place = {item.key: number for number, item in enumerate(stream.items)}
    sums_N12 = np.zeros((len(place), 1, 2))
    for (item, _), scores in zip(stream.places, found.images, strict=True):
        sums_N12[place[item.key], 0] += scores.iou_N.sum(), len(scores)
    return Evidence(tuple(place), tuple(item.domain or "" for item in stream.items), sums_N12)


def score(evidence: Evidence, classes: tuple[str, ...]) -> SplitScores:
    """The numbers of a split as a record keeps them."""
    if evidence.confusion_NKK.shape[1:] == (1, 2):
        reached = _known(float(score_of(evidence.confusion_NKK.sum(0))))
        return SplitScores(miou=reached, accuracy=None, iou={}, domains={}, images=len(evidence.keys))
    whole = Confusion(evidence.confusion_NKK.sum(0), classes)
    check_two_classes(whole)
    domains = {}
    for name in sorted(set(evidence.domains) - {""}):
        inside = np.array([domain == name for domain in evidence.domains])
        domains[name] = _known(Confusion(evidence.confusion_NKK[inside].sum(0), classes).miou)
    iou = {name: _known(float(value)) for name, value in zip(classes, whole.iou_K, strict=True)}
    return SplitScores(
        miou=_known(whole.miou), accuracy=_known(whole.allacc), iou=iou, domains=domains, images=len(evidence.keys)
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def count_gflops(model: Model, image: tuple[int, int]) -> float:
    """Operations of answering one window of an image of this size, in thousands of millions."""
    device, side = model.device, model.segmenter.size
    # A model that looks at whole images has windows larger than any.
    rows, columns = (side, side) if model.segmenter.fit == "stretch" else (min(side, length) for length in image)
    window = torch.zeros(1, len(model.sensor.bands), rows, columns, device=device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.segmenter.logits(window)
    return counter.get_total_flops() / 1e9
