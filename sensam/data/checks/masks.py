"""What a mask file holds, read leniently: every number it stores, also those that are no class."""

from collections import Counter
from dataclasses import dataclass

from sensam.data.dataset import Dataset
from sensam.data.masks import read_mask
from sensam.data.pairing import Item
from sensam.data.polygons import strangers
from sensam.data.raster import RasterInfo
from sensam.data.sources import describe_once
from sensam.data.windows import lay_out
from sensam.errors import SensamError

BLOCK = 1024
MANY_VALUES = 64  # a mask with more unknown values than this is no mask


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """One mask. `refusal` is why it cannot be used at all."""

    info: RasterInfo | None = None  # None for polygons, which have no grid of their own
    unknown: tuple[tuple[str, int], ...] = ()  # what is stored and is no class, with its pixels or polygons
    refusal: SensamError | None = None

    @property
    def looks_like_an_image(self) -> bool:
        """Far more values than a mask has, or fractions."""
        return len(self.unknown) > MANY_VALUES or "fractions" in str(self.refusal or "")


def look_at_mask(dataset: Dataset, item: Item) -> MaskFacts | None:
    """The facts of a sample's mask; None where it has none."""
    spec = dataset.spec
    if item.mask is None or spec.masks is None:
        return None
    info: RasterInfo | None = None
    try:
        if spec.label.codec == "polygons":
            return MaskFacts(unknown=tuple(strangers(item.mask, spec).items()))
        info = describe_once(item.mask, spec.masks.variable, spec.masks.axes)
        return MaskFacts(info, _unknown(dataset, item))
    except SensamError as refusal:
        return MaskFacts(info, refusal=refusal)


def _unknown(dataset: Dataset, item: Item) -> tuple[tuple[str, int], ...]:
    spec = dataset.spec
    assert item.mask is not None
    assert spec.masks is not None
    found: Counter[str] = Counter()
    for window in lay_out(*dataset.size(item), BLOCK):
        stored_CHW, nodata = read_mask(
            item.mask, spec.masks, spec.label, size=dataset.info(item).size, window=dataset.within(item, window)
        )
        found.update(dataset.codec.unknown(stored_CHW, where=str(item.mask), nodata=nodata))
    return tuple(found.most_common())
