"""The bar of benchmarks/e2sam.py on real sets: gradient boosting of single pixels with the mean of 7 x 7 around."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier

from sensam.data.dataset import Dataset
from sensam.train.confusion import Confusion

AROUND = 7  # pixels on a side of what is averaged
MOST = 300_000  # pixels that it learns from, drawn from all of the training split
SEED = 0

Pixels = tuple[NDArray[np.float32], NDArray[np.int64]]  # features of pixels with a class, and their classes


def learn_single_pixels(dataset: Dataset, of: str | None) -> float:
    """IoU of a class, or its mean over classes, on the test split, learnt from labels of the training split."""
    features, labels = zip(*_pixels(dataset, "train"), strict=True)
    features_PF, label_P = np.concatenate(features), np.concatenate(labels)
    drawn = np.random.default_rng(SEED).permutation(len(label_P))[:MOST]
    model = HistGradientBoostingClassifier(random_state=SEED).fit(features_PF[drawn], label_P[drawn])
    count = len(dataset.classes)
    matrix_KK = np.zeros((count, count), np.int64)
    for features_PF, label_P in _pixels(dataset, "test"):
        np.add.at(matrix_KK, (label_P, model.predict(features_PF)), 1)
    scores = Confusion(matrix_KK, dataset.classes)
    return float(scores.iou_K[dataset.classes.index(of)] if of else scores.miou)


def _pixels(dataset: Dataset, split: str) -> Iterator[Pixels]:
    """Of each image the pixels that have a class: every band, and its mean around them."""
    for item in dataset.items(split):
        label_HW = dataset.read_label(item)
        assert label_HW is not None  # the benchmark's sets have masks throughout
        bands_CHW = np.nan_to_num(dataset.read(item).pixels_CHW.astype(np.float32))
        around_CHW = uniform_filter(bands_CHW, size=(0, AROUND, AROUND))
        features_HWF = np.moveaxis(np.concatenate([bands_CHW, around_CHW]), 0, -1)
        known_HW = label_HW != dataset.ignore
        yield features_HWF[known_HW], label_HW[known_HW].astype(np.int64)
