"""What a model answers for every pixel of a split, once, as it would be asked in earnest: for whoever scores it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sensam.data.dataset import Dataset
from sensam.data.loader import Loader
from sensam.data.raster import Window
from sensam.data.stream import Edges, EvaluationStream
from sensam.data.windows import within
from sensam.infer.segmenter import unstretched
from sensam.run.model import Model


@dataclass(frozen=True, eq=False)
class Answer:
    """Classes of a part of an image, found and true."""

    key: str  # of the image
    part: Window  # of the image
    found_HW: Tensor
    label_HW: Tensor


def shown(
    model: Model, dataset: Dataset, split: str, *, edges: Edges = "cut"
) -> tuple[EvaluationStream, EvaluationStream | None]:
    """A split as the model was trained to see it; where that is stretched, also the labels as they are on disk."""
    fit = model.segmenter.fit
    stream = EvaluationStream(dataset, split, size=model.segmenter.size, fit=fit, edges=edges)
    return stream, EvaluationStream(dataset, split) if fit == "stretch" else None


def answers(
    model: Model, dataset: Dataset, split: str, *, batch: int, workers: int = 0, device: torch.device | str = "cpu"
) -> Iterator[Answer]:
    """Answers for the parts of a split in order, from windows of the size that was trained on.

    A model that was trained on stretched images sees stretched images; its logits are brought to the labels' own size.
    """
    stream, originals = shown(model, dataset, split, edges="inside")
    start = 0
    with torch.no_grad():
        for each in Loader(stream, batch_size=batch, workers=workers, device=device):
            assert each.label_BHW is not None
            windows = [stream.window(number) for number in range(start, start + len(each))]
            sizes = [window[2:] for window in windows] if originals is None else [each.image_BCHW.shape[2:]] * len(each)
            for row, logits_KHW in _logits(model, each.image_BCHW, sizes):
                item, part = stream.places[start + row]
                if originals is None:
                    inside = within(part, windows[row])
                    logits_KHW, label_HW = logits_KHW[:, *inside], each.label_BHW[row][inside]
                else:
                    label_HW = _label(originals, start + row).to(logits_KHW.device)
                    logits_KHW = unstretched(logits_KHW[None], label_HW.shape)[0]
                yield Answer(item.key, part, logits_KHW.argmax(0), label_HW)
            start += len(each)


def _logits(model: Model, image_BCHW: Tensor, sizes: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, Tensor]]:
    """Each image's place in a batch, and its logits. What fills up smaller ones is cut off before the network sees it:
    it would reach into the answer, and a score would depend on what else was in the batch."""
    for rows, columns in dict.fromkeys(sizes):
        alike = [row for row, size in enumerate(sizes) if size == (rows, columns)]
        yield from zip(alike, model.segmenter.logits(image_BCHW[alike, :, :rows, :columns]), strict=True)


def _label(originals: EvaluationStream, number: int) -> Tensor:
    label_HW = originals[number].label_HW
    assert label_HW is not None
    return torch.from_numpy(label_HW.astype("int64"))
