"""No band gives a class away, and several bands together do: the tasks are neither trivial nor hopeless."""

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from sensam.data.synthetic import Family, Scene, family
from sensam.data.synthetic.difficulty import best_interval, one_band_table

BOUND = 0.68
# Where one band may tell more, and why. A background is "found" by calling every pixel background.
EXCEPTIONS = {
    ("seafog", "sea"): 0.90,  # water absorbs near infrared light whatever the weather
    ("drive", "sky"): 0.80,  # nothing to measure: the depth sensor reads its longest range
    ("panorama", "sky"): 0.98,  # the same, and overhead there is only sky
}
DEAREST = [pytest.param(name, marks=pytest.mark.slow) for name in ("seafog", "drive", "panorama")]
TELLING = [*DEAREST, "sar:dual", "modality:thermal", "modality:polarization", "modality:depth"]
N_SCENES = {"seafog": 54, "panorama": 48}
USUAL_N_SCENES = 24
SIZE = (48, 72)


@cache
def scenes_of(name: str) -> list[Scene]:
    return [family(name).make(5, index, SIZE) for index in range(N_SCENES.get(name, USUAL_N_SCENES))]


def test_best_interval_is_the_best_of_all_intervals() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 12, 500).astype(np.float32)
    is_class = (np.abs(values - 6) < 3) & (rng.random(500) < 0.7) | (rng.random(500) < 0.1)
    found = best_interval(values, is_class)
    scores = []
    for low in range(12):
        for high in range(low, 12):
            called = (values >= low) & (values <= high)
            scores.append((called & is_class).sum() / (called | is_class).sum())
    assert found.iou == pytest.approx(max(scores))
    called = (values >= found.low) & (values < found.high)
    assert (called & is_class).sum() / (called | is_class).sum() == pytest.approx(found.iou)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TELLING, "sar"])
def test_no_band_gives_a_class_away(name: str) -> None:
    of = family(name)
    table = one_band_table(scenes_of(name), len(of.classes))
    for k, entry in enumerate(of.classes):
        if entry.name == "background" and name.startswith("modality"):
            continue
        bound = EXCEPTIONS.get((name, entry.name), 0.30 if entry.name == "fog" else BOUND)
        assert table[k].max() < bound, (entry.name, of.sensor.band_names[int(table[k].argmax())])


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.slow
def test_bands_and_surroundings_together_do_much_better(name: str) -> None:
    of = family(name)
    one_band = one_band_table(scenes_of(name), len(of.classes)).max(axis=1)
    learnt = learnt_iou(of, scenes_of(name))
    assert learnt.mean() > 1.2 * one_band.mean(), (learnt, one_band)
    if name == "seafog":
        assert learnt[4] > 2 * one_band[4]
    if name.startswith("modality"):
        assert (learnt[1:] > 2.5 * one_band[1:]).all()


def learnt_iou(of: Family, scenes: list[Scene]) -> np.ndarray:
    """IoU per class on the last third of the scenes, of a small boosting that has seen the others."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second, which the fast tests save

    rng = np.random.default_rng(0)
    n_learnt = len(scenes) * 2 // 3
    samples, answers = [], []
    for scene in scenes[:n_learnt]:
        chosen = rng.choice(np.flatnonzero(scene.label_HW.ravel() != 255), 400)
        samples.append(features(scene)[chosen])
        answers.append(scene.label_HW.ravel()[chosen])
    learner = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=15, early_stopping=False, random_state=0)
    learner.fit(np.concatenate(samples), np.concatenate(answers))
    truth = np.concatenate([scene.label_HW.ravel() for scene in scenes[n_learnt:]])
    guess = learner.predict(np.concatenate([features(scene) for scene in scenes[n_learnt:]]))
    guess, truth = guess[truth != 255], truth[truth != 255]
    hits = [((guess == k) & (truth == k)).sum() for k in range(len(of.classes))]
    either = [((guess == k) | (truth == k)).sum() for k in range(len(of.classes))]
    return np.array(hits) / np.maximum(either, 1)


def features(scene: Scene) -> np.ndarray:
    """Every band nearby, how far it stands out from the wider surroundings, and differences that experts look at."""
    pixels = scene.raster.pixels_CHW.astype(np.float64)
    typical = np.array([np.median(band[valid]) for band, valid in zip(pixels, scene.raster.valid_CHW, strict=True)])
    pixels = np.where(scene.raster.valid_CHW, pixels, typical[:, None, None])
    near, wide = (uniform_filter(pixels, (0, width, width)) for width in (5, 27))
    planes = [pixels, near, (near - wide) / np.maximum(np.abs(wide), 1e-3)]
    if "I45" in scene.raster.bands:
        i0, i45, i90, i135 = near[3:]
        planes.append(np.stack([i0 - i90, i45 - i135]) / np.maximum(i0 + i90, 1))
    if "B16" in scene.raster.bands:
        planes.append(near[6:] - near[12])
    return np.concatenate(planes).reshape(-1, scene.label_HW.size).T
