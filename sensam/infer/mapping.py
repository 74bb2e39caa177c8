"""One scene to finished files: what was asked for, what it will take, and outputs that appear only when complete."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rasterio.errors import RasterioError

from sensam.errors import InputError, SettingsError
from sensam.infer.area import Area, Box, read_area, window_of_box
from sensam.infer.cog import Ground, write_cog
from sensam.infer.locate import Located, locate, refuse_overwriting, title
from sensam.infer.onnx_network import check_fixed_size
from sensam.infer.products import Extra, Storage, products
from sensam.infer.regrid import Resolution, forget, regrid
from sensam.infer.scene import Scene, open_quietly
from sensam.infer.schedule import beside, between
from sensam.infer.segmenter import Segmenter
from sensam.infer.tiled import Layout, Mask, Progress, disk_needed, map_strip, memory_needed
from sensam.infer.vectors import Outlines, disk_of_polygons, write_polygons
from sensam.infer.voting import Predict, Vote
from sensam.infer.workplace import SUFFIX, Workplace, cannot_write, sweep
from sensam.version import __version__

RUN_TAG = "SENSAM_RUN"
OVERLAP_SHARE = 8  # of a tile's side, as a divisor
WHOLE_TURN = "equirectangular"


@dataclass(frozen=True, slots=True)
class MapSettings:
    """What decides the numbers in a map, and which files there are. Two runs with equal settings give equal files."""

    size: int | None = None  # pixels on a side of a tile; by default as trained
    overlap: int | None = None  # pixels that neighbouring tiles share; by default an eighth of a tile
    batch: int | None = None  # tiles at once; by default as many as suit the device
    extras: tuple[Extra, ...] = ()
    storage: Storage = "uint8"
    bands: tuple[str, ...] | None = None  # what the file's bands are, where it does not say so itself
    box: Box | None = None
    area: Path | None = None
    resolution: Resolution | None = None
    outlines: Outlines | None = None
    how: str = ""  # models, augmentation, precision: whatever else changes the numbers
    overwrite: bool = field(default=False, compare=False)


def is_map(out: Path) -> bool:
    """Whether this is the name of one map rather than of a folder."""
    return out.suffix.lower() in {".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where the files of one scene go: FOLDER/STEM.tif, STEM.confidence.tif, ..."""

    folder: Path
    stem: str
    suffix: str = ".tif"  # as the user writes it

    @classmethod
    def of(cls, scene: str, out: Path, *, alone: bool) -> "Target":
        """OUT is a folder, or the map itself where there is one scene."""
        if is_map(out):
            if not alone:
                raise SettingsError(f"{out} is one file, but there are several scenes. Give a folder with -o.")
            return cls(out.parent, out.stem, out.suffix)
        return cls(out, title(scene))

    def file(self, product: str, suffix: str | None = None) -> Path:
        middle = "" if product == "classes" else f".{product}"
        return self.folder / f"{self.stem}{middle}{suffix or self.suffix}"

    @property
    def workplace(self) -> Path:
        return self.folder / f"{self.stem}{SUFFIX}"


class SceneJob:
    """A scene, checked against the model and laid out in tiles. Nothing is written before `run`."""

    def __init__(self, model: Segmenter, fingerprint: str, scene: str, target: Target, settings: MapSettings) -> None:
        batch = 1 if settings.batch is None else settings.batch
        settings = replace(settings, batch=batch)  # the same plan whether said or settled
        self.model, self.target, self.settings = model, target, settings
        source = locate(scene, model.sensor)
        self._source: Located = source if settings.resolution is None else regrid(source, settings.resolution, model)
        whole = Scene(self._source, model.sensor, bands=settings.bands, may_lack_bands=model.takes_missing_bands)
        self.mask, self.scene = _chosen(whole, settings)
        self.products = products(model.classes, _with_needed(settings), settings.storage, model.ignore)
        side = model.size if settings.size is None else settings.size
        check_fixed_size(model, side)
        overlap = side // OVERLAP_SHARE if settings.overlap is None else settings.overlap
        wraps = model.sensor.geometry == WHOLE_TURN and self.scene.size[1] == whole.info.width
        self.layout = Layout.of(self.scene.size, side, overlap, batch, len(model.classes), wraps=wraps)
        self.plan = _plan(f"{fingerprint} {model.resolution}", scene, source, self.scene, settings, side, overlap)
        refuse_overwriting(source, self.outputs)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files there will be, the class map last."""
        wanted = [self.target.file(extra) for extra in self.settings.extras]
        if self.settings.outlines is not None:
            wanted.append(self.target.file("classes", self.settings.outlines.suffix))
        return (*wanted, self.target.file("classes"))

    @property
    def is_done(self) -> bool:
        """Whether this very map is there already; an error where another one is in its place."""
        there = [path for path in self.outputs if path.exists()]
        if not there or self.settings.overwrite:
            return False
        if self._is_there:
            return True
        raise InputError(
            f"{there[-1]} exists, made by another model, from another scene or with other settings. "
            "Choose another place with -o, or add --overwrite."
        )

    @property
    def _is_there(self) -> bool:
        """Whether all files are there, and the last of them says that this plan made it."""
        return all(path.exists() for path in self.outputs) and _made_by(self.outputs[-1]) == self.plan

    @property
    def memory(self) -> int:
        """Bytes of tiles and probabilities at once, besides the model."""
        return memory_needed(self.layout, len(self.model.sensor.bands))

    @property
    def disk(self) -> int:
        """Bytes that are needed at most while the map is made."""
        outlines = self.settings.outlines
        drawn = 0 if outlines is None else disk_of_polygons(self.scene.size, outlines)
        return disk_needed(self.scene.size, self.products) + drawn

    def open(self) -> Workplace:
        """The folder to work in, new or as a killed run left it; an error where the map would not fit on the disk."""
        folder = self.target.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(13, "permission denied")
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise cannot_write(folder, error) from error
        if free < self.disk and not self.target.workplace.exists():
            raise InputError(
                f"{folder} has room for {free / 2**20:.0f} MiB, the map needs up to {self.disk / 2**20:.0f}. "
                "Make room, or choose another place with -o."
            )
        return Workplace(self.target.workplace, self.plan, self.scene.size, self.products)

    def run(self, predict: Predict, *, strip: range | None = None, progress: Progress | None = None) -> int:
        """Predict what is not done yet; how many pixels were valid."""
        needs_processor = isinstance(predict, Vote) and predict.device.type == "cpu"
        schedule = between if needs_processor and not self.scene.is_remote else beside
        return map_strip(
            self.scene,
            predict,
            self.layout,
            self.open(),
            strip=strip,
            mask=self.mask,
            progress=progress,
            schedule=schedule,
        )

    def complete(self, valid: int) -> tuple[Path, ...]:
        """Make the files of the raw planes and put them in place, the class map last; a second time nothing is done.

        Who died before it could say that it was done is asked again, also where an older map was to be overwritten.
        """
        if self._is_there and not self.target.workplace.exists():
            sweep(self.target.workplace)
            return self.outputs
        workplace = self.open()
        if not valid:
            workplace.clear()
            raise InputError(
                f"{self.scene.name} has no valid pixel in the area to map: all is nodata, or outside "
                f"the valid range of {self.model.sensor.name}."
            )
        if not workplace.is_resumed:  # planes of zeros would become a map
            workplace.clear()
            raise InputError(f"{workplace.folder}, in which {self.scene.name} was mapped, is gone. Run the same again.")
        ground = Ground(self.scene.info.crs, self.scene.transform, self.model.classes, self.model.colours)
        tags = {RUN_TAG: self.plan, "MODEL": self.model.name, "CLASSES": json.dumps(self.model.classes)}
        tags["TIFFTAG_SOFTWARE"] = f"sensam {__version__}"
        made = []
        if self.settings.outlines is not None:
            drawn = write_polygons(workplace, self.products, ground, self.settings.outlines)
            made.append((drawn, self.target.file("classes", self.settings.outlines.suffix)))
        wanted = {"classes", *self.settings.extras}
        for product in reversed([product for product in self.products if product.name in wanted]):
            made.append((write_cog(workplace, product, ground, tags), self.target.file(product.name)))
        for path, place in made:
            _put(path, place)
        workplace.clear()
        forget(self._source)
        return self.outputs


def _put(path: Path, place: Path) -> None:
    """Move a finished file and what lies beside it; the file itself last, and in one step."""
    try:
        for beside in (path.with_suffix(".qml"), path.with_name(f"{path.name}.aux.xml")):
            if beside.exists() and path.suffix == ".tif":
                target = (
                    place.with_suffix(".qml") if beside.suffix == ".qml" else place.with_name(f"{place.name}.aux.xml")
                )
                beside.replace(target)
        path.replace(place)
    except OSError as error:
        raise cannot_write(place, error) from error


def _chosen(whole: Scene, settings: MapSettings) -> tuple[Mask | None, Scene]:
    """The wanted part of a scene, and which pixels of it."""
    if settings.area is not None and settings.box is not None:
        raise SettingsError("--bbox and --aoi both say what to map. Give one of them.")
    if settings.area is not None:
        area, window = read_area(settings.area, whole.info)
        return _inside(area), whole.part(window)
    if settings.box is not None:
        return None, whole.part(window_of_box(settings.box, whole.info))
    return None, whole


def _inside(area: Area) -> Mask:
    return area.inside


def _with_needed(settings: MapSettings) -> Sequence[Extra]:
    """Polygons tell their mean confidence, so it is made even where nobody wants it as a file."""
    if settings.outlines is None or "confidence" in settings.extras:
        return settings.extras
    return (*settings.extras, "confidence")


def _plan(
    fingerprint: str, scene: str, source: Located, chosen: Scene, settings: MapSettings, side: int, overlap: int
) -> str:
    """Equal for runs that would write the same files."""
    versions = []
    for path in [source] if isinstance(source, str) else source.values():
        try:
            state = Path(path).stat()
            versions.append((Path(path).resolve().as_posix(), state.st_mtime_ns, state.st_size))
        except OSError:
            versions.append((path, 0, 0))
    facts = {key: value for key, value in asdict(settings).items() if key != "overwrite"}
    facts["area"] = None if settings.area is None else hashlib.sha256(settings.area.read_bytes()).hexdigest()
    told = json.dumps([fingerprint, title(scene), versions, chosen.area, facts, side, overlap], default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _made_by(path: Path) -> str:
    try:
        with open_quietly(str(path)) as dataset:
            return str(dataset.tags().get(RUN_TAG, ""))
    except RasterioError:
        return ""


def describe_job(job: SceneJob) -> str:
    """What a map will take, in one line."""
    height, width = job.scene.size
    return (
        f"{job.target.stem}: {height} x {width} pixels, {job.layout.tiles} tiles of {job.layout.rows.size}, "
        f"{job.memory / 2**20:.0f} MiB of memory besides the model, up to {job.disk / 2**20:.0f} MiB of disk"
    )
