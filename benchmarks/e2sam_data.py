"""Data for benchmarks/e2sam.py: generated scenes, and the small real sets where they are; always three splits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sensam.data.dataset import open_dataset
from sensam.data.synthetic import family, write

HERE = Path(__file__).parent
REAL = Path(os.environ.get("SENSAM_REAL_DATA", HERE.parent.parent / "shared" / "data"))
DEFINITIONS = HERE.parent / "tests" / "data" / "real"
GENERATED = ("seafog", "drive")
SEED = 30  # of the generated scenes: recipes were found on others
TILES = ("water12_hls", "worldcover12_hls", "mri3_lgg")  # with a split for testing
SCENES = ("crop_weed_nir2", "s1_flood_sen1floods11")  # a few large images: each split takes a part of all of them
PARTS = {"train": (0.0, 0.55), "val": (0.55, 0.7), "test": (0.7, 1.0)}
EVERY = 6  # of the groups of training tiles one is kept for validation


def prepare(name: str, folder: Path, *, quick: bool) -> Path:
    """The dataset.yaml of a set, made when it is first asked for."""
    if name in GENERATED:
        return _generate(name, folder / (f"{name}-quick" if quick else name), quick=quick)
    if not (REAL / _definition(name)["root"].rpartition("/")[2]).is_dir():
        raise SystemExit(f"{name} is not under {REAL}. Set SENSAM_REAL_DATA, or leave it out with --sets.")
    os.environ["SENSAM_REAL_DATA"] = str(REAL)
    definition = _definition(name)
    definition["splits"] = _parts_of_scenes() if name in SCENES else _splits_of_tiles(name)
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(definition, sort_keys=False))
    return path


def _generate(name: str, folder: Path, *, quick: bool) -> Path:
    counts = {"train": 24, "val": 6, "test": 12} if quick else {"train": 640, "val": 16, "test": 40}
    if not (folder / "dataset.yaml").is_file():
        write(family(name), folder, seed=SEED, counts=counts, size=(128, 128))
    return folder / "dataset.yaml"


def _definition(name: str) -> dict[str, Any]:
    definition: dict[str, Any] = yaml.safe_load((DEFINITIONS / f"{name}.yaml").read_text())
    return definition


def _parts_of_scenes() -> Mapping[str, Any]:
    return {split: {"rows": list(rows)} for split, rows in PARTS.items()}


def _splits_of_tiles(name: str) -> Mapping[str, Any]:
    """The published validation split tests; validation is taken from training, whole groups of it."""
    keys = [item.key for item in open_dataset(DEFINITIONS / f"{name}.yaml").items("train")]
    groups = sorted({_group(key) for key in keys})
    held = set(groups[::EVERY])
    kept = {"train": [k for k in keys if _group(k) not in held], "val": [k for k in keys if _group(k) in held]}
    splits: dict[str, Any] = {split: {"folder": "train", "keys": found} for split, found in kept.items()}
    return {**splits, "test": {"folder": "val"}}


def _group(key: str) -> str:
    """What belongs together: slices of one patient share all but the last part of their key."""
    return key.rpartition("_")[0] or key
