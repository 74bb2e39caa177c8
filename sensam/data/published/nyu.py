"""NYU Depth v2: rooms in colour and distance (Silberman et al., ECCV 2012), with HHA and numbered regions.

`RGB/N.jpg`, `Depth/N.npy` (metres, 0 where nothing was measured), `HHA/N.jpg`, `Mask_gt/N.png`; `train.txt` and
`test.txt` are separated by tabs and name `RGB/N.jpg` first.
"""

from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from sensam.data.dataset import Dataset
from sensam.data.encoded import EncodedDataset, Scaling, leave_out, scale_by, scaled_band
from sensam.data.layout import parse_spec
from sensam.data.published.listing import NO_LABEL, REGIONS, pair_listed, read_rows
from sensam.errors import InputError, unknown
from sensam.sensors import Sensor

Modality = Literal["depth", "rgb+depth", "hha", "rgb+hha"]
SPLITS = ("train", "test")
BROKEN = ("398", "1133")  # files of the release that cannot be read
FOLDERS = {"rgb": "RGB/*.jpg", "depth": "Depth/*.npy", "hha": "HHA/*.jpg"}
# Of values / 255: ImageNet's, and for distances stretched to each image's own range the mean of its colours.
COLOUR = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
NAMES = {"rgb": ("red", "green", "blue"), "hha": ("disparity", "height", "angle")}
OWN_RANGE = (0.4490, 0.2260)


def open_nyu_depth(root: str | Path, modality: Modality = "rgb+depth", scaling: Scaling = "fixed") -> Dataset:
    """One modality or colour before it. With `fixed` metres stay metres; `own range` is the published loader's.

    `own percentiles` stretches from an image's 2nd to its 98th percentile.
    """
    if modality not in get_args(Modality):
        raise unknown("modality of NYU Depth v2", modality, get_args(Modality))
    root, kinds = Path(root), modality.split("+")
    sensor = {
        "name": f"nyu-{modality.replace('+', '-')}",
        "geometry": "perspective",
        "rgb": list(NAMES["rgb"]) if "rgb" in kinds else None,
        "bands": [band for kind in kinds for band in _bands(kind, scaling, alone=len(kinds) == 1)],
    }
    settings = {
        "name": "NYU Depth v2",
        "sensor": sensor,
        "images": {kind: {"files": FOLDERS[kind]} for kind in kinds},
        "masks": "Mask_gt/*.png",
        "classes": REGIONS,
        "ignore": NO_LABEL,
        "splits": {split: [] for split in SPLITS},
    }
    spec = parse_spec(settings, base=root, where=str(root))
    pairing = pair_listed({split: _listed(root, split, kinds) for split in SPLITS})
    if scaling == "fixed" or "depth" not in kinds:
        return Dataset(spec, pairing)
    encode = partial(leave_out, 0.0, {"depth"}, scale_by(scaling, {"depth"}))
    return EncodedDataset(spec, Sensor.from_dict(sensor), encode, pairing)


def _bands(kind: str, scaling: Scaling, *, alone: bool) -> list[dict[str, Any]]:
    if kind != "depth":
        every = {"scale": 1 / 255, "dtype": "uint8"}
        # A JPEG calls its bands red, green and blue; of two files the instrument's name stands before.
        tones = [tone if alone and kind == "hha" else f"{kind}.{tone}" for tone in NAMES["rgb"]]
        return [
            {"name": name, "aliases": [tone], "mean": mean, "std": std, **every}
            for name, tone, (mean, std) in zip(NAMES[kind], tones, COLOUR, strict=True)
        ]
    own = scaled_band(scaling, OWN_RANGE)
    return [{"name": "depth", **(own or {"unit": "m", "nodata": 0})}]


def _listed(root: Path, split: str, kinds: list[str]) -> list[tuple[str, list[Path], Path]]:
    samples = []
    for first, *_ in read_rows(root / f"{split}.txt", delimiter="\t"):
        named = PurePosixPath(first)
        if named.parent.name != "RGB":
            raise InputError(f"{first!r} in {root / f'{split}.txt'} is not RGB/N.jpg, as this set names its images.")
        if named.stem in BROKEN:
            continue
        files = [root / FOLDERS[kind].replace("*", named.stem) for kind in kinds]
        samples.append((named.stem, files, root / "Mask_gt" / f"{named.stem}.png"))
    return samples
