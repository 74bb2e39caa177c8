"""A model against the labels of a split: one confusion matrix, a table by class and by image, text and JSON."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sensam.data.dataset import Dataset, open_dataset
from sensam.errors import SettingsError
from sensam.evaluate.answers import answers
from sensam.files import whole, write_text
from sensam.methods.e2sam import E2Sam
from sensam.run.assembly import fit_dataset
from sensam.run.model import Model, load
from sensam.train.confusion import LOST_BY_E2SAM, MIOU_MEANS, Confusion, Scoring, count, under


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a model maps a split."""

    model: str
    data: str
    split: str
    scoring: Scoring
    classes: tuple[str, ...]
    keys: tuple[str, ...]  # of the images
    matrices_NKK: NDArray[np.int64]  # of each image: labelled by found
    left_out: int | None = None  # the class that the scoring treats apart

    @cached_property
    def confusion(self) -> Confusion:
        """Of the whole split, as the scoring counts it."""
        return under(Confusion(self.matrices_NKK.sum(0), self.classes), self.scoring, self.left_out)

    def by_image(self) -> list[dict[str, Any]]:
        """A row for each image: its mIoU and accuracy, and the IoU of each class."""
        rows = []
        for key, matrix_KK in zip(self.keys, self.matrices_NKK, strict=True):
            scored = under(Confusion(matrix_KK, self.classes), self.scoring, self.left_out)
            ious = {f"iou {name}": value for name, value in zip(self.classes, scored.iou_K, strict=True)}
            rows.append({"image": key, "miou": scored.miou, "allacc": scored.allacc, **ious})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        about = {"model": self.model, "data": self.data, "split": self.split, "images": len(self.keys)}
        rows = [{name: _plain(value) for name, value in row.items()} for row in self.by_image()]
        return {**about, "scoring": self.scoring, **self.confusion.to_dict(), "by_image": rows}

    def write(self, path: Path) -> None:
        """The numbers as JSON; the table of images as CSV where the file is named so."""
        if path.suffix.lower() != ".csv":
            write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")
            return
        rows = self.by_image()
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)

    def lines(self) -> list[str]:
        """What stands under a table, so that its numbers can be compared with others'."""
        scored = self.confusion
        lines = [f"{name} {100 * value:.2f}" for name, value in scored.summary().items()]
        text = [f"{'  '.join(lines)}  ({self.scoring} scoring, {len(self.keys)} images)", MIOU_MEANS]
        if scored.absent:
            text.append(f"in no mean, because without a union: {', '.join(scored.absent)}")
        return text


def evaluate(
    model: Model | str | Path,
    data: Dataset | str | Path,
    *,
    split: str = "test",
    scoring: Scoring | None = None,
    left_out: int | None = None,
    batch: int = 4,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Map a split and compare it with its labels, every pixel once, as the model was trained to see it.

    Without a word on scoring every labelled pixel counts, unless the model was trained by its authors' protocol.
    """
    model, dataset = _opened(model, data, device)
    scoring = scoring or usual_scoring(model)
    if dataset.classes != model.classes:
        raise SettingsError(
            f"{dataset.name} has classes {', '.join(dataset.classes) or 'none'}; the model tells apart "
            f"{', '.join(model.classes)}. They must be the same, in the same order."
        )
    classes, matrices = len(model.classes), dict[str, NDArray[np.int64]]()
    for answer in answers(model, dataset, split, batch=batch, workers=workers, device=device):
        counts_KK = count(answer.label_HW, answer.found_HW, classes, dataset.ignore).cpu().numpy()
        matrices[answer.key] = matrices.get(answer.key, 0) + counts_KK
    scored = np.stack(list(matrices.values()))
    return Evaluation(
        model.segmenter.name, dataset.name, split, scoring, model.classes, tuple(matrices), scored, left_out
    )


def usual_scoring(model: Model) -> Scoring:
    """As E2SAM's authors scored it, where a model was trained their way and has the class that they lose."""
    is_theirs = isinstance(model.method, E2Sam) and model.method.config.protocol == "paper"
    return "e2sam" if is_theirs and len(model.classes) > LOST_BY_E2SAM else "strict"


def _opened(model: Model | str | Path, data: Dataset | str | Path, device: torch.device | str) -> tuple[Model, Dataset]:
    """The model on its device in eval mode, and the data set as its sensor must see it."""
    loaded = load(model, device=device) if isinstance(model, str | Path) else model.to(device)
    loaded.method.eval()
    dataset = open_dataset(data) if isinstance(data, str | Path) else data
    return loaded, fit_dataset(dataset, loaded.sensor)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
