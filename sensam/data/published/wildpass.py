"""WildPASS: 500 street panoramas from 25 cities, labelled with eight classes of traffic (Yang et al., TIP 2021).

`leftImg8bit/val/cs/<name>.png` and `gtFine/val/cs/<name>.png`, which stores the numbers of a Mapillary model's classes.
"""

from pathlib import Path

from sensam.data.dataset import Dataset
from sensam.data.layout import parse_spec

# Names, colours, and the numbers that stand for them in the masks.
CLASSES = (
    ("car", "#00008e", 4),
    ("truck", "#000046", 5),
    ("bus", "#003c64", 8),
    ("road", "#804080", 11),
    ("sidewalk", "#f423e8", 12),
    ("person", "#dc143c", 17),
    ("curb", "#c4c4c4", 13),
    ("crosswalk", "#c88080", 24),
)


def open_wildpass(root: str | Path) -> Dataset:
    """The labelled panoramas as split `test`; whatever is none of the eight classes is ignored."""
    settings = {
        "name": "WildPASS",
        "sensor": {"preset": "rgb", "name": "wildpass", "geometry": "equirectangular"},
        "images": "leftImg8bit/{split}/**/*.png",
        "masks": "gtFine/{split}/**/*.png",
        "label": {"unknown": "ignore"},
        "classes": [{"name": name, "colour": colour, "stored": number} for name, colour, number in CLASSES],
        "splits": {"test": "val"},
    }
    return Dataset(parse_spec(settings, base=Path(root), where=str(root)))
