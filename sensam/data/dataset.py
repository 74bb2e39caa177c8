"""A data set: which samples there are, and the pixels and labels of any window of any of them."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

from sensam.data.discovery import discover
from sensam.data.labels import LabelCodec, LabelHW
from sensam.data.layout import FILE_NAME, Colour, DatasetSpec, LabelSpec, parse_spec, read_mapping
from sensam.data.masks import read_mask
from sensam.data.pairing import Item, Pairing, pair
from sensam.data.polygons import Grid, burn
from sensam.data.raster import Raster, RasterInfo, Window
from sensam.data.sources import Source, Sources
from sensam.errors import InputError, SettingsError, unknown
from sensam.sensors import Band, Sensor


class Dataset:
    """Samples by split. Windows count rows and columns from the part of the scene that belongs to the split."""

    encodes = False  # whether what is read was computed from what is stored

    def __init__(self, spec: DatasetSpec, pairing: Pairing | None = None) -> None:
        self.spec = spec
        self.pairing: Pairing = pair(spec) if pairing is None else pairing
        self.codec = LabelCodec.of(spec)
        self.sensor = _fed_sensor(spec)
        self._sources = Sources(spec, self.sensor)

    @property
    def name(self) -> str:
        return self.spec.name or self.spec.root.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.spec.classes)

    @property
    def colours(self) -> tuple[Colour, ...]:
        return self.spec.colours

    @property
    def ignore(self) -> int:
        return self.spec.ignore

    @property
    def splits(self) -> Mapping[str, tuple[Item, ...]]:
        return self.pairing.items

    def items(self, split: str) -> tuple[Item, ...]:
        """The samples of a split, sorted by key."""
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self.splits[split]

    def labelled(self, split: str) -> tuple[Item, ...]:
        """The samples of a split, all of them with a mask; an error where one has none."""
        items = self.items(split)
        bare = [item.key for item in items if item.mask is None]
        if bare:
            raise InputError(
                f"{len(bare)} of {len(items)} images of split {split} have no mask (first: {bare[0]}). Add the masks, "
                "or put these images in a split of their own. `sensam check` lists them."
            )
        return items

    def source(self, item: Item) -> Source:
        """What is known of a sample's files before a pixel is read, and which of their planes are fed."""
        return self._sources.find(item.images)

    def info(self, item: Item) -> RasterInfo:
        """Size, place and types of a sample's files."""
        return self.source(item).info

    def area(self, item: Item) -> Window:
        """The part of the scene that belongs to the sample's split, in pixels of the scene."""
        info = self.info(item)
        if item.is_whole:
            return 0, 0, info.height, info.width
        top, bottom = (round(part * info.height) for part in item.rows)
        left, right = (round(part * info.width) for part in item.columns)
        return top, left, bottom - top, right - left

    def size(self, item: Item) -> tuple[int, int]:
        """Rows and columns of a sample: of the whole scene, or of the part that belongs to the split."""
        _, _, rows, columns = self.area(item)
        return rows, columns

    def read(self, item: Item, window: Window | None = None) -> Raster:
        """Stored numbers of the sensor's bands; `sensor.decode` makes them physical."""
        return self._sources.read(item.images, self.within(item, window))

    def read_label(self, item: Item, window: Window | None = None) -> LabelHW | None:
        """Class numbers of the same window; None where the sample has no mask."""
        if item.mask is None or self.spec.masks is None:
            return None
        within = self.within(item, window)
        if self.spec.label.codec == "polygons":
            return burn(item.mask, self._grid(item, within), self.spec).astype(self.codec.dtype)
        stored_CHW, nodata = read_mask(
            item.mask, self.spec.masks, self.spec.label, size=self.info(item).size, window=within
        )
        return self.codec.decode(stored_CHW, where=str(item.mask), nodata=nodata)

    def with_items(self, split: str, items: Sequence[Item]) -> "Dataset":
        """The same data set with only these samples in a split."""
        changed = copy(self)
        changed.pairing = replace(self.pairing, items={**self.splits, split: tuple(items)})
        return changed

    def with_sensor(self, sensor: Sensor) -> "Dataset":
        """The same files and bands, with other statistics."""
        changed = copy(self)
        changed.sensor = sensor
        return changed

    def with_label(self, label: LabelSpec) -> "Dataset":
        """The same files, their masks read by another rule."""
        changed = copy(self)
        changed.spec = self.spec.model_copy(update={"label": label})
        changed.codec = LabelCodec.of(changed.spec)
        return changed

    def within(self, item: Item, window: Window | None) -> Window | None:
        """A window of the whole scene, from one of the sample's part of it."""
        if item.is_whole:
            return window
        top, left, rows, columns = self.area(item)
        if window is None:
            return top, left, rows, columns
        return top + window[0], left + window[1], window[2], window[3]

    def _grid(self, item: Item, within: Window | None) -> Grid:
        info = self.info(item)
        whole = Grid(info.height, info.width, info.crs, info.transform)
        return whole if within is None else whole.part(within)


def open_dataset(folder_or_yaml: str | Path) -> Dataset:
    """A data set from its dataset.yaml, from a folder that holds one, or from a plain folder of images and masks."""
    path = Path(folder_or_yaml)
    if path.suffix in {".yaml", ".yml"}:
        return _read(path)
    if path.is_file():
        raise InputError(f"{path} is one file, not a data set. Give a folder with images, or a {FILE_NAME}.")
    if not path.is_dir():
        raise InputError(f"{path} does not exist. Give a folder with images, or a {FILE_NAME}.")
    own = path / FILE_NAME
    return _read(own) if own.is_file() else Dataset(discover(path))


def _read(path: Path) -> Dataset:
    """What a dataset.yaml describes, or the published layout that it names."""
    raw, base = read_mapping(path), path.resolve().parent
    if "published" not in raw:
        return Dataset(parse_spec(raw, base=base, where=str(path)))
    from sensam.data.published.by_name import open_by_name  # these layouts are data sets themselves

    return open_by_name(raw, base, str(path))


def _fed_sensor(spec: DatasetSpec) -> Sensor:
    """The chosen bands, with the statistics measured on this data set where there are any."""
    strangers = [name for name in spec.statistics if name not in spec.sensor.band_names]
    if strangers:
        raise SettingsError(
            f"statistics name {', '.join(strangers)}, which sensor {spec.sensor.name} does not have. "
            "Measure again with: sensam stats DATASET"
        )
    sensor = spec.sensor.select(spec.bands) if spec.bands else spec.sensor
    return sensor.model_copy(update={"bands": tuple(_measured(band, spec) for band in sensor.bands)})


def _measured(band: Band, spec: DatasetSpec) -> Band:
    found = spec.statistics.get(band.name)
    if found is None:
        return band
    # A constant band has no deviation to divide by; with 1 it becomes 0 everywhere, which is all it says.
    return band.model_copy(update={"mean": found.mean, "std": found.std or 1.0})
