"""Files made in exactly the published layouts, for tests of more than one thing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Save = Callable[..., Path]
MASK = np.repeat(np.repeat(np.array([[0, 1], [7, 255]], np.uint8), 4, 0), 4, 1)


def picture(seed: int, bands: int = 3) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).integers(0, 256, (bands, 8, 8)).astype(np.uint8)


def imitate_ivrg(folder: Path, save: Save) -> Path:
    """IVRG RGB-NIR: one image to learn from, one to test on."""
    root = folder / "NIRimages_nir"  # the words that change in file names, in a folder's
    for split, scene, seed in (("train", "country", 0), ("test", "water", 1)):
        near = picture(seed, 1)
        save(root / f"Outdoor_dataset/{scene}/NIRimages/0001_nir.png", near)
        save(root / f"Outdoor_dataset/{scene}/RGBimages/0001_rgb.png", picture(seed + 9))
        save(root / f"labels/{scene}.png", MASK[None])
        rows = f"{scene}/NIRimages/0001_nir.png,labels/{scene}.png\n\n"
        (root / f"IVRG-nir_{split}_GroundTruth.csv").write_bytes(rows.encode("gbk"))
    return root
