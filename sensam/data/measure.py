"""What a data set's numbers are: statistics of every fed band, and limits to clip radar by, over one split."""

from collections.abc import Callable

from sensam.data.dataset import Dataset
from sensam.data.layout import BandStatistics
from sensam.data.pairing import Item
from sensam.data.statistics import BandGatherer, Ranks
from sensam.data.stretch import Stretch
from sensam.data.windows import lay_out
from sensam.errors import InputError

BLOCK = 1024  # pixels read at once, so that no scene must fit into memory


def measure(
    dataset: Dataset, split: str, on_item: Callable[[Item], None] = lambda _: None
) -> dict[str, BandStatistics]:
    """Statistics by band, in one pass and in float64."""
    gatherers = [BandGatherer() for _ in dataset.sensor.bands]
    for item in dataset.items(split):
        for window in lay_out(*dataset.size(item), BLOCK):
            stored = dataset.read(item, window)
            valid_CHW = dataset.sensor.decode(stored).valid_CHW
            stated = stored.scaling or (None,) * len(gatherers)
            for place, (gatherer, band) in enumerate(zip(gatherers, dataset.sensor.bands, strict=True)):
                gatherer.add(stored.pixels_CHW[place][valid_CHW[place]], band.scaling(stated[place]))
        on_item(item)
    found = {band.name: gatherer.summary() for band, gatherer in zip(dataset.sensor.bands, gatherers, strict=True)}
    empty = [name for name, summary in found.items() if summary is None]
    if empty:
        raise InputError(
            f"{', '.join(empty)} has no valid pixel in split {split} of {dataset.name}. "
            "`sensam check` shows why; leave the band out with `bands`, or correct its nodata or valid range."
        )
    return {name: summary for name, summary in found.items() if summary is not None}


def measure_limits(dataset: Dataset, split: str = "train", low: float = 1.0, high: float = 99.0) -> Stretch:
    """The data set's stretch with percentiles of a split's valid numbers as limits: to be written down and kept.

    Every image of the split counts, block by block, so that no scene must fit into memory. The data set must not be
    clipped already.
    """
    rules = {files.stretch for files in dataset.spec.images.values()}
    if len(rules) > 1:
        raise InputError("The instruments of this data set are stretched differently. Measure each alone.")
    rule = rules.pop()
    if rule is not None and rule.limits is not None:
        raise InputError(f"The images are clipped to {rule.limits} already. Measure them without limits.")
    ranks = Ranks()
    for item in dataset.items(split):
        for window in lay_out(*dataset.size(item), BLOCK):
            raster = dataset.read(item, window)
            ranks.add(raster.pixels_CHW[raster.valid_CHW])
    limits = ranks.percentiles((low, high))
    measured, shown = (rule.measured, rule.shown) if rule else ("amplitude", "amplitude")
    return Stretch.model_validate({"measured": measured, "shown": shown, "limits": limits})
