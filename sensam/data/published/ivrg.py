"""IVRG RGB-NIR, outdoor part: photographs in colour and near infrared (Brown and Susstrunk, CVPR 2011), with regions.

`IVRG-nir_{train,test}_GroundTruth.csv` list `<scene>/NIRimages/<id>_nir.<ext>` under `Outdoor_dataset/` and, in the
second column, the PNG with the numbers of the regions. The colour image lies in `RGBimages/` as `<id>_rgb.<ext>`.
"""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec
from sensam.data.published.listing import NO_LABEL, REGIONS, pair_listed, read_rows
from sensam.errors import InputError

SPLITS = ("train", "test")
# Of values / 255, as published with SimMAT.
COLOUR = {"red": (0.4303, 0.2508), "green": (0.4324, 0.2473), "blue": (0.4200, 0.2663)}
NIR = {"nir": (0.5038, 0.2059)}


def open_ivrg_nir(root: str | Path, modality: Literal["nir", "rgb+nir"] = "rgb+nir") -> Dataset:
    """Near infrared alone or behind red, green and blue; regions as labels, 0 for what is none."""
    root = Path(root)
    bands = NIR if modality == "nir" else COLOUR | NIR
    images: dict[str, Any] = {"nir": "Outdoor_dataset/**/*"}
    if modality == "rgb+nir":
        images = {"rgb": "Outdoor_dataset/**/*", **images}
    every = {"scale": 1 / 255, "dtype": "uint8"}
    settings = {
        "name": "IVRG RGB-NIR",
        "sensor": {
            "name": "ivrg-nir" if modality == "nir" else "ivrg-rgb-nir",
            "geometry": "perspective",
            "rgb": None if modality == "nir" else list(COLOUR),
            "every_band": every,
            "bands": [{"name": name, "mean": mean, "std": std} for name, (mean, std) in bands.items()],
        },
        "images": images,
        "masks": "**/*.png",
        "classes": REGIONS,
        "ignore": NO_LABEL,
        "splits": {split: [] for split in SPLITS},
    }
    pairing = pair_listed({split: _listed(root, split, modality) for split in SPLITS})
    return Dataset(parse_spec(settings, base=root, where=str(root)), pairing)


def _listed(root: Path, split: str, modality: str) -> list[tuple[str, list[Path], Path]]:
    rows = read_rows(root / f"IVRG-nir_{split}_GroundTruth.csv", encoding="gbk", least=2)
    samples = []
    for image, mask, *_ in rows:
        near = PurePosixPath(image)
        if near.parent.name != "NIRimages" or not near.stem.endswith("_nir"):
            raise InputError(f"{image!r} is not <scene>/NIRimages/<id>_nir.<ext>, as this set names its images.")
        # Only the two parts that differ are changed: the words may also stand in the names of folders above.
        name = near.stem.removesuffix("_nir")
        colour = near.parent.parent / "RGBimages" / f"{name}_rgb{near.suffix}"
        kinds = [near] if modality == "nir" else [colour, near]
        key = f"{near.parent.parent.as_posix()}/{name}"
        samples.append((key, [root / "Outdoor_dataset" / kind for kind in kinds], root / mask))
    return samples
